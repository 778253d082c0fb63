import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A load balancer for TCP, as small as it gets: who refuses a connection is passed over. */
export type Balancer = {
  readonly url: string;
  /** Where new connections go, in turns. */
  readonly ports: Set<number>;
  close(): Promise<void>;
};

export async function startBalancer(): Promise<Balancer> {
  const ports = new Set<number>();
  const open = new Set<Socket>();
  let turn = 0;
  const server = createServer((client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => undefined);
    const candidates = [...ports];
    const first = turn++;
    const attempt = (tried: number) => {
      if (tried === candidates.length) {
        client.destroy();
        return;
      }
      const upstream = connect(candidates[(first + tried) % candidates.length] ?? 0, '127.0.0.1');
      upstream.once('error', () => {
        if (upstream.connecting || upstream.bytesRead === 0) attempt(tried + 1);
      });
      upstream.once('connect', () => {
        upstream.removeAllListeners('error');
        upstream.on('error', () => client.destroy());
        upstream.on('close', () => client.end());
        client.on('close', () => upstream.end());
        client.pipe(upstream);
        upstream.pipe(client);
      });
    };
    attempt(0);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ports,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
