import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/**
 * A wire between broker and backend that can be looked at and held. It changes no byte.
 */
export type TcpProxy = {
  readonly port: number;
  /** Called with each piece that goes to the server; while its promise is open, the wire waits. */
  onRequest: (text: string) => Promise<void> | void;
  /** The same for what comes back. */
  onAnswer: (text: string) => Promise<void> | void;
  /** Ends every connection under way. */
  cut(): void;
  close(): Promise<void>;
};

export async function startTcpProxy(host: string, port: number): Promise<TcpProxy> {
  const open = new Set<Socket>();
  const proxy: Omit<TcpProxy, 'port'> = {
    onRequest: () => undefined,
    onAnswer: () => undefined,
    cut: () => {
      for (const socket of open) socket.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        proxy.cut();
        server.close(() => resolve());
      }),
  };
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => open.delete(socket));
    }
    pump(client, upstream, (text) => proxy.onRequest(text));
    pump(upstream, client, (text) => proxy.onAnswer(text));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(proxy, { port: (server.address() as AddressInfo).port });
}

/** One piece after the other, each after its look; a closed end closes the other. */
function pump(from: Socket, to: Socket, look: (text: string) => Promise<void> | void): void {
  let last: Promise<void> = Promise.resolve();
  from.on('data', (piece: Buffer) => {
    last = last.then(async () => {
      await look(piece.toString('latin1'));
      if (!to.destroyed) to.write(piece);
    });
  });
  from.on('close', () => {
    last = last.then(() => {
      to.destroy();
    });
  });
}
