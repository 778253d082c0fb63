import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** Where an embedded OpenBao listens, and the authority that vouches for it where it uses TLS. */
export type BaoEndpoint = { readonly address: string; readonly caFile?: string | undefined };

export type BaoReply = { readonly status: number; readonly body: string };

/** Milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;

/** One request without a token, for health and login. Rejects when no answer comes. */
export async function baoRequest(
  endpoint: BaoEndpoint,
  method: 'GET' | 'POST',
  path: string,
  body?: string,
): Promise<BaoReply> {
  const ca = endpoint.caFile === undefined ? {} : { ca: await readFile(endpoint.caFile) };
  const url = new URL(path, endpoint.address);
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const request = send(url, { method, signal, agent: false, ...ca });
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}
