import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export type KeyServer = {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  answer(path: string, what: Handler | object | 'gone'): void;
  stop(): Promise<void>;
};

/** A real HTTP server on a free loopback port, which answers as it was told, else 404. */
export async function startKeyServer(server: Server = createServer()): Promise<KeyServer> {
  const answers = new Map<string, Handler>();
  const asked: string[] = [];
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? '';
    asked.push(path);
    const handler = answers.get(path);
    if (handler) handler(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const scheme = 'setSecureContext' in server ? 'https' : 'http';
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    asked,
    answer: (path, what) => {
      if (what === 'gone') answers.delete(path);
      else answers.set(path, typeof what === 'function' ? (what as Handler) : json(what));
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function json(body: object): Handler {
  return (_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body));
  };
}
