import { Agent, createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Buffer } from 'node:buffer';

/** One call to OpenBao, as it came from the broker. */
export type Call = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
};

export type Reply = {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** What becomes of a call: an answer, or a connection that ends without one. */
export type Fate = Reply | 'cut';

/** A server before OpenBao that can do to any call what proxies and networks do. */
export type HttpBetween = {
  readonly url: string;
  /** Every call since the start, with its path and nothing secret but its headers. */
  readonly calls: readonly Call[];
  /** Calls whose caller hung up before their answer. */
  readonly cutByCaller: readonly Call[];
  /** Decides over each call; `forward` sends it on to OpenBao and waits for its answer. */
  decide: (call: Call, forward: () => Promise<Reply>) => Promise<Fate> | Fate;
  /** Lets everything through again. */
  pass(): void;
  /** Nobody listens any more, and what was open is cut. */
  down(): Promise<void>;
  up(): Promise<void>;
};

export async function startHttpBetween(host: string, port: number): Promise<HttpBetween> {
  const agent = new Agent({ keepAlive: false });
  const sockets = new Set<Socket>();
  const calls: Call[] = [];
  const cutByCaller: Call[] = [];
  const server = createServer((request, response) => {
    void read(request).then(async (body) => {
      const call = { ...named(request), headers: request.headers, body };
      calls.push(call);
      let answering = false;
      response.on('close', () => {
        if (!answering) cutByCaller.push(call);
      });
      const fate = await between.decide(call, () => forward({ agent, host, port }, call));
      answering = true;
      finish(response, fate);
    });
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const listen = (at: number) =>
    new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  await listen(0);
  const { port: own } = server.address() as AddressInfo;
  const through: HttpBetween['decide'] = (_call, on) => on().catch(() => 'cut' as const);
  const between: HttpBetween = {
    url: `http://127.0.0.1:${own}`,
    calls,
    cutByCaller,
    decide: through,
    pass: () => {
      between.decide = through;
    },
    down: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
    up: () => listen(own),
  };
  return between;
}

function named(request: IncomingMessage): { method: string; path: string } {
  return { method: request.method ?? '', path: request.url ?? '' };
}

async function read(from: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of from) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

type Server = { readonly agent: Agent; readonly host: string; readonly port: number };

function forward(to: Server, call: Call): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { method, path, headers, body } = call;
    const sent = httpRequest({ ...to, method, path, headers }, (answer) => {
      read(answer).then(
        (text) =>
          resolve({
            status: answer.statusCode ?? 0,
            body: text.toString('utf8'),
            headers: { 'content-type': answer.headers['content-type'] ?? 'application/json' },
          }),
        reject,
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function finish(response: ServerResponse, fate: Fate): void {
  if (fate === 'cut') {
    response.destroy();
    return;
  }
  response.writeHead(fate.status, { 'content-type': 'application/json', ...fate.headers });
  response.end(fate.body);
}

/** True for the call that makes a user. */
export function isMint({ method, path }: Call): boolean {
  return method === 'GET' && /^\/v1\/[^/]+\/creds\/[^/?]+$/.test(path);
}

/** True for the call that makes a lease's own token. */
export function isTokenCreation({ path }: Call): boolean {
  return path.startsWith('/v1/auth/token/create/');
}
