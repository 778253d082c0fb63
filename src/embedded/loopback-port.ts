import { createServer } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/** A port on loopback that nobody listens on now. Somebody may take it before it is used. */
export async function freePort(): Promise<number> {
  const port = await listenOnce(0);
  if (port === undefined) {
    throw new Error('No free port on 127.0.0.1.');
  }
  return port;
}

/** True when a server could listen on this port of loopback now. */
export async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined;
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, LOOPBACK, () => {
      const address = server.address();
      const found = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(found));
    });
  });
}
