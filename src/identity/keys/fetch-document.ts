import { request as requestHttp } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isLoopback } from '../../catalogue/loopback.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';

/** The time for one reading of an issuer's keys, whatever it fetches. */
export type Deadline = { readonly timeoutMs: number; readonly signal: AbortSignal };

export type FetchOptions = {
  /** Bounds the whole exchange, from connecting to the last byte. */
  readonly deadline: Deadline;
  /** Bytes of the body. */
  readonly maxBytes: number;
  /** Certificates (PEM) to trust instead of the system's. */
  readonly ca?: Buffer;
};

/** A deadline `timeoutMs` milliseconds from now. */
export function deadlineIn(timeoutMs: number): Deadline {
  return { timeoutMs, signal: AbortSignal.timeout(timeoutMs) };
}

/**
 * Parses an address that keys may be fetched from: https, or plain http on loopback, where nobody
 * else can answer. Fails with a sentence for the log.
 */
export function parseKeyUrl(text: string): Result<URL, string> {
  if (!URL.canParse(text)) return fail('its address is not a URL');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return fail('its address holds a login');
  if (url.protocol === 'https:') return succeed(url);
  if (url.protocol === 'http:' && isLoopback(url.hostname)) return succeed(url);
  return fail('its address must be https (plain http only on loopback)');
}

/**
 * Fetches a document with GET. Only a 200 counts: a redirect is not followed, since it would let
 * one host name another as the source of keys. Fails with a sentence that quotes no content.
 */
export function fetchDocument(url: URL, options: FetchOptions): Promise<Result<Buffer, string>> {
  return new Promise((resolve) => {
    const request = trySend(url, options);
    if (!request) {
      resolve(fail('its connection cannot be set up: check the CA file'));
      return;
    }
    request.on('error', (error) => resolve(fail(problemOf(error, options))));
    request.on('response', (response) => {
      void readBody(response, options).then((body) => {
        if (!body.ok) request.destroy();
        resolve(body);
      });
    });
    request.end();
  });
}

/** Node throws at once for certificates that it cannot read. */
function trySend(url: URL, options: FetchOptions): ClientRequest | undefined {
  try {
    return send(url, options);
  } catch {
    return undefined;
  }
}

function send(url: URL, options: FetchOptions): ClientRequest {
  const common = {
    method: 'GET',
    headers: { accept: 'application/json', 'accept-encoding': 'identity' },
    signal: options.deadline.signal,
    agent: false,
  } as const;
  if (url.protocol === 'http:') return requestHttp(url, common);
  return requestHttps(url, { ...common, ...(options.ca ? { ca: options.ca } : {}) });
}

async function readBody(
  response: IncomingMessage,
  options: FetchOptions,
): Promise<Result<Buffer, string>> {
  if (response.statusCode !== 200)
    return fail(`it was answered with ${response.statusCode}, not 200`);
  const encoding = response.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') return fail('it was answered compressed, unasked');
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > options.maxBytes) return fail(`it is larger than ${options.maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    return fail(problemOf(error, options));
  }
  return succeed(Buffer.concat(chunks));
}

/** Only the kind of an error: its message may quote what the other side sent. */
function problemOf(error: unknown, options: FetchOptions): string {
  const { name, code } = error as NodeJS.ErrnoException;
  if (name === 'AbortError' || name === 'TimeoutError') {
    return `it took longer than ${options.deadline.timeoutMs} ms`;
  }
  return `it cannot be fetched (${code ?? name})`;
}
