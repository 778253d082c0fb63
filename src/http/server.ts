import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server as TlsServer } from 'node:https';
import { Server as NetServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { within } from '../foundation/clock.ts';
import { faultOf } from '../foundation/fault.ts';
import { createApplication } from './application.ts';
import type { TrustProxy } from './application.ts';
import { reportDrops } from './dropped-connections.ts';
import { createInFlight } from './in-flight.ts';
import type { HttpParts } from './parts.ts';
import { SERVER_BOUNDS } from './server-bounds.ts';

/** Files in PEM; the certificate with its chain. */
export type TlsFiles = { readonly certFile: string; readonly keyFile: string };

export type HttpOptions = HttpParts & {
  readonly tls?: TlsFiles | undefined;
  /** Absent: the address of the connection is the client's. */
  readonly trustProxy?: TrustProxy | undefined;
};

export type HttpServer = {
  /** Rejects when the address cannot be had or the TLS files cannot be read. Port 0: any free. */
  listen(host: string, port: number): Promise<{ readonly port: number }>;
  /**
   * Reads the TLS files again; what it answers puts them in force for new connections. Rejects, and
   * changes nothing, if they cannot be used.
   */
  readyTls(): Promise<() => void>;
  /**
   * Takes no new connection, ends each open one by its next answer and then those that are idle,
   * lets calls under way finish, and cuts what is left after `graceMs`. Repeating it is fine.
   */
  stop(graceMs: number): Promise<void>;
};

/** Milliseconds in which open connections are still served; a busy client asks again by then. */
const LETTING_GO_MS = 300;

/** Milliseconds that connections may take to close by themselves after their last answer. */
const CLOSING_MS = 200;

/** The request-driven half of the broker. */
export function createHttpServer(options: HttpOptions): HttpServer {
  const { clock, log, tls, trustProxy } = options;
  const inFlight = createInFlight();
  const application = createApplication(options, inFlight, trustProxy);
  const server = bounded(tls ? createTlsServer(NODE_OPTIONS) : createServer(NODE_OPTIONS));
  server.on('request', application.handler);
  // A connection that cannot be accepted (no descriptors left) must not end the process.
  server.on('error', (thrown) => log.error({ fault: faultOf(thrown) }, 'listener failed'));
  reportDrops(server, options);
  const sockets = openSockets(server);

  async function readyTls(): Promise<() => void> {
    if (!tls || !('setSecureContext' in server)) return () => undefined;
    const [cert, key] = await Promise.all([readFile(tls.certFile), readFile(tls.keyFile)]);
    const files = { cert, key, minVersion: 'TLSv1.2' } as const;
    // Throws for what is no certificate, or not that of the key.
    createSecureContext(files);
    return () => server.setSecureContext(files);
  }

  /**
   * Takes no new connection, and lets the next answer on each open one end it: to close those that
   * are idle just now would cut whoever is sending a request at this moment.
   */
  async function letGo(): Promise<void> {
    const allGone = new Promise<void>((resolve) => {
      // Not the method of the HTTP server, which closes idle connections at once.
      NetServer.prototype.close.call(server, () => resolve());
    });
    await within(clock, LETTING_GO_MS, allGone);
  }

  return {
    readyTls,
    async listen(host, port) {
      (await readyTls())();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          resolve();
        });
      });
      return { port: (server.address() as AddressInfo).port };
    },
    async stop(graceMs) {
      inFlight.drain();
      await letGo();
      application.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await within(clock, graceMs, inFlight.idle());
      await within(clock, CLOSING_MS, closed);
      // Silent connections, half-sent requests, and calls that outlasted the grace.
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

const NODE_OPTIONS = {
  maxHeaderSize: SERVER_BOUNDS.headerBytes,
  headersTimeout: SERVER_BOUNDS.headersTimeoutMs,
  requestTimeout: SERVER_BOUNDS.requestTimeoutMs,
  connectionsCheckingInterval: SERVER_BOUNDS.timeoutCheckMs,
  keepAliveTimeout: SERVER_BOUNDS.keepAliveMs,
  requireHostHeader: true,
};

function bounded<Any extends Server | TlsServer>(server: Any): Any {
  server.maxHeadersCount = SERVER_BOUNDS.headerCount;
  server.maxConnections = SERVER_BOUNDS.connections;
  server.timeout = SERVER_BOUNDS.silentSocketMs;
  return server;
}

/** Node can list only connections that have sent something. */
function openSockets(server: Server | TlsServer): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}
