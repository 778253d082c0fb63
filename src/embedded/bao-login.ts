import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { SecretText } from '../foundation/secret-text.ts';
import { ADMINISTRATOR } from './bao-configuration.ts';

/** Milliseconds. */
const LOGIN_TIMEOUT_MS = 10_000;

/**
 * Logs the embedded administrator in with the password in `passwordFile`.
 *
 * @returns a token for an hour.
 * @throws with OpenBao's status when it refuses.
 */
export async function administratorToken(
  address: string,
  passwordFile: string,
  caFile?: string,
): Promise<SecretText> {
  const password = (await readFile(passwordFile, 'utf8')).trim();
  const ca = caFile === undefined ? undefined : await readFile(caFile);
  const url = new URL(`/v1/auth/userpass/login/${ADMINISTRATOR}`, address);
  const reply = await post(url, JSON.stringify({ password }), ca);
  if (reply.status !== 200) {
    throw new Error(`OpenBao refused the administrator's login: status ${reply.status}.`);
  }
  const { auth } = JSON.parse(reply.body) as { auth: { client_token: string } };
  return new SecretText(auth.client_token);
}

type Reply = { readonly status: number; readonly body: string };

function post(url: URL, body: string, ca: Buffer | undefined): Promise<Reply> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const signal = AbortSignal.timeout(LOGIN_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const request = send(url, { method: 'POST', signal, agent: false, ...(ca ? { ca } : {}) });
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
