import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { CallBounds } from './call-bounds.ts';
import { VaultHttpError } from './vault-http-error.ts';

export type WireRequest = {
  readonly method: string;
  /** With its query, below the wire's address. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly bounds: CallBounds;
};

export type WireReply = {
  readonly statusCode: number;
  /** Parsed JSON; undefined when the answer was empty or not JSON. */
  readonly body: unknown;
  /** True when there was an answer that is not JSON. */
  readonly rubbish: boolean;
  readonly retryAfterSeconds: number | null;
};

/**
 * HTTP for OpenBao, and only for it: keep-alive, bounded, without redirects and without proxies
 * (node:http knows neither), with our own CA file. A token therefore reaches no other host.
 */
export type Wire = {
  /** Rejects with VaultHttpError and with nothing else. */
  send(request: WireRequest): Promise<WireReply>;
  /** Closes idle connections; calls under way end first. */
  close(): void;
};

export type WireOptions = {
  readonly address: string;
  /** PEM text; absent: the system's authorities. */
  readonly ca?: string | undefined;
  /** Connections at a time; further calls queue for `connectMs`. */
  readonly maxSockets: number;
};

/** Idle connections are ours to close, well before OpenBao does (after 5 minutes). */
const IDLE_SOCKET_MS = 60_000;

const NO_CONNECTION = 'no connection';
const TOO_SLOW = 'too slow';

/** @throws TypeError when `address` is not `http(s)://host[:port]`. */
export function openWire(options: WireOptions): Wire {
  const { protocol, hostname, port, pathname, search } = new URL(options.address);
  const tls = protocol === 'https:';
  if ((!tls && protocol !== 'http:') || pathname !== '/' || search !== '') {
    throw new TypeError("OpenBao's address must be http(s)://host[:port] and nothing more");
  }
  const pool = {
    keepAlive: true,
    maxSockets: options.maxSockets,
    scheduling: 'lifo',
    timeout: IDLE_SOCKET_MS,
  } as const;
  const agent = tls
    ? new HttpsAgent({ ...pool, ...(options.ca === undefined ? {} : { ca: options.ca }) })
    : new HttpAgent(pool);
  const connected = new WeakSet<Socket>();
  const host = hostname.replace(/^\[|\]$/g, '');
  const server = { agent, host, port: port === '' ? (tls ? 443 : 80) : Number(port) };
  return {
    send: (call) =>
      new Promise((resolve, reject) => {
        const body = call.json === undefined ? undefined : JSON.stringify(call.json);
        const request = (tls ? httpsRequest : httpRequest)({
          ...server,
          method: call.method,
          path: call.path,
          headers: headersOf(call, body),
        });
        follow(request, call, { tls, connected, resolve, reject });
        request.end(body);
      }),
    close: () => closeIdle(agent),
  };
}

function headersOf(call: WireRequest, body: string | undefined): Record<string, string | number> {
  if (body === undefined) return { ...call.headers };
  return {
    ...call.headers,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
}

type Following = {
  readonly tls: boolean;
  readonly connected: WeakSet<Socket>;
  readonly resolve: (reply: WireReply) => void;
  readonly reject: (error: VaultHttpError) => void;
};

/** Watches one request from the queue over its connection to the end of its answer. */
function follow(request: ClientRequest, call: WireRequest, to: Following): void {
  let sent = false;
  const settle = (outcome: WireReply | VaultHttpError) => {
    clearTimeout(timer);
    if (outcome instanceof VaultHttpError) to.reject(outcome);
    else to.resolve(outcome);
  };
  const failed = (error: unknown) => settle(brokenOff(call, sent, error));
  // A request that is destroyed while it queues tells so only when it gets a connection.
  const giveUp = (why: string) => {
    const error = new Error(why);
    failed(error);
    request.destroy(error);
  };
  let timer = setTimeout(() => giveUp(NO_CONNECTION), call.bounds.connectMs);
  request.once('socket', (socket) => {
    if (request.destroyed) return;
    whenConnected(socket, to, () => {
      sent = true;
      clearTimeout(timer);
      timer = setTimeout(() => giveUp(TOO_SLOW), call.bounds.replyMs);
    });
  });
  request.on('error', failed);
  request.once('response', (response) => {
    readReply(response, call, settle, failed);
  });
}

/** From here on bytes of the request may have left this machine. */
function whenConnected(socket: Socket, { tls, connected }: Following, then: () => void): void {
  if (connected.has(socket)) {
    then();
    return;
  }
  socket.once(tls ? 'secureConnect' : 'connect', () => {
    connected.add(socket);
    then();
  });
}

/** Reads an answer to its end, or cuts it where it grows too large. */
function readReply(
  response: IncomingMessage,
  call: WireRequest,
  settle: (outcome: WireReply | VaultHttpError) => void,
  failed: (error: unknown) => void,
): void {
  const { maxBytes, mayCut } = call.bounds;
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else if (mayCut) {
      settle(tooLarge(call, response));
      response.destroy();
    }
  });
  response.once('end', () => {
    if (size > maxBytes) settle(tooLarge(call, response));
    else settle(wholeReply(response, chunks));
  });
  response.once('error', failed);
}

function wholeReply(response: IncomingMessage, chunks: readonly Buffer[]): WireReply {
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
  return {
    statusCode: response.statusCode ?? 0,
    ...parsed(Buffer.concat(chunks).toString('utf8')),
    retryAfterSeconds: Number.isFinite(retryAfter) && retryAfter >= 0 ? retryAfter : null,
  };
}

function tooLarge(call: WireRequest, response: IncomingMessage): VaultHttpError {
  return new VaultHttpError({
    ...named(call),
    kind: 'rubbish',
    status: response.statusCode ?? 0,
    why: `the answer is larger than ${call.bounds.maxBytes} bytes`,
  });
}

function parsed(text: string): { body: unknown; rubbish: boolean } {
  if (text.trim() === '') return { body: undefined, rubbish: false };
  try {
    return { body: JSON.parse(text) as unknown, rubbish: false };
  } catch {
    return { body: undefined, rubbish: true };
  }
}

function brokenOff(call: WireRequest, sent: boolean, error: unknown): VaultHttpError {
  const cause = causeOf(error);
  return new VaultHttpError({
    ...named(call),
    kind: sent ? 'no_reply' : 'unsent',
    why: `${sent ? 'no answer' : 'not sent'} (${cause})`,
    wasReset: cause === 'ECONNRESET' || cause === 'EPIPE',
  });
}

/** A system error's code or one of our own words; never a message, which may quote anything. */
function causeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string') return code;
  return message === NO_CONNECTION || message === TOO_SLOW ? message : 'broken off';
}

function named(call: WireRequest): { method: string; path: string } {
  return { method: call.method, path: withoutQuery(call.path) };
}

/** Error messages name the path; queries add nothing to it. */
export function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query === -1 ? path : path.slice(0, query);
}

function closeIdle(agent: HttpAgent | HttpsAgent): void {
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}
