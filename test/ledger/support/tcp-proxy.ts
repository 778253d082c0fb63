import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A way through which a test can lose answers. */
export type TcpProxy = {
  readonly port: number;
  /** Passes on what the client says, then cuts the connection instead of the answer to `word`. */
  cutAfter(word: string): void;
  /** From now on nothing comes back, and nothing is closed. */
  swallow(on: boolean): void;
  connections(): number;
  stop(): Promise<void>;
};

export async function startTcpProxy(target: number): Promise<TcpProxy> {
  let cutWord: string | undefined;
  let swallowing = false;
  let opened = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    opened++;
    const upstream = connect(target, '127.0.0.1');
    let cutting = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (data) => {
      if (cutWord !== undefined && data.includes(cutWord)) {
        cutting = true;
        cutWord = undefined;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (swallowing) return;
      if (cutting) client.destroy();
      else client.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cutAfter: (word) => {
      cutWord = word;
    },
    swallow: (on) => {
      swallowing = on;
    },
    connections: () => opened,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
