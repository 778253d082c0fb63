import { join } from 'node:path';
import { ensureOrdersDatabase } from '../../embedded/demo-target.ts';
import { DEMO_CLIENTS } from '../../embedded/identity-clients.ts';
import { startIdentityProvider } from '../../embedded/identity-provider.ts';
import type { IdentityProvider } from '../../embedded/identity-provider.ts';
import { findBao } from '../../embedded/find-bao.ts';
import type { StateFolder } from '../../embedded/folder.ts';
import { startOpenBao } from '../../embedded/openbao.ts';
import type { EmbeddedOpenBao } from '../../embedded/openbao.ts';
import { startPostgres } from '../../embedded/postgres.ts';
import { environment, valueIn } from '../../settings/environment.ts';
import { worldServer } from './world-server.ts';
import type { WorldOptions, WorldServer } from './world.ts';

export type Servers = {
  readonly ledger: WorldServer;
  readonly target: WorldServer;
  readonly backend: WorldServer & {
    readonly address: string;
    readonly auditLog: string;
    current(): EmbeddedOpenBao;
  };
  readonly identity: IdentityProvider;
  stop(): Promise<void>;
};

/** Programs that were downloaded are kept here, below the working folder, for all worlds. */
const PROGRAMS = '.mayfly';

/** Starts the four servers side by side, and puts the order book into the target. */
export async function startServers(
  folder: StateFolder,
  publicUrl: string,
  options: WorldOptions,
): Promise<Servers> {
  const say = options.progress ?? (() => undefined);
  const bao = options.bao ?? (await baoProgram(say));
  say('Starting two Postgres servers, OpenBao and an identity provider on 127.0.0.1');
  const started = await Promise.allSettled([
    postgres(folder, 'ledger', options),
    target(folder, options),
    backend(folder, bao),
    identityProvider(folder, publicUrl),
  ]);
  const [ledger, orders, openbao, identity] = started;
  const stop = async () => {
    const running = started.flatMap((part) => (part.status === 'fulfilled' ? [part.value] : []));
    await Promise.all(running.map((server) => server.stop()));
  };
  for (const part of started) {
    if (part.status === 'rejected') {
      await stop();
      throw part.reason;
    }
  }
  return {
    ledger: valueOf(ledger),
    target: valueOf(orders),
    backend: valueOf(openbao),
    identity: valueOf(identity),
    stop,
  };
}

function valueOf<Value>(settled: PromiseSettledResult<Value>): Value {
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

function baoProgram(say: (line: string) => void): Promise<string> {
  const set = environment();
  const cache = join(process.cwd(), PROGRAMS);
  return findBao({ setting: valueIn(set, 'MAYFLY_BAO'), path: set['PATH'], cache, say });
}

async function postgres(folder: StateFolder, name: string, { durable }: WorldOptions) {
  const superuserPassword = await folder.secret(`${name}-superuser`);
  const logFile = folder.inside(`${name}.log`);
  const remembered = await folder.port(name);
  return worldServer(
    (port) =>
      startPostgres({
        dataDir: folder.inside(name),
        superuserPassword,
        port: port ?? remembered,
        durable: durable ?? true,
        logFile,
      }),
    logFile,
  );
}

async function target(folder: StateFolder, options: WorldOptions) {
  const server = await postgres(folder, 'target', options);
  const password = await folder.secret('target-superuser');
  const { host, port } = server;
  await ensureOrdersDatabase({ host, port, user: 'postgres', password });
  return server;
}

async function backend(folder: StateFolder, bao: string): Promise<Servers['backend']> {
  const adminPassword = await folder.secret('openbao-administrator');
  const [port, clusterPort] = [await folder.port('openbao'), await folder.port('openbao-cluster')];
  const server = await worldServer(
    () => startOpenBao({ folder: folder.inside('openbao'), bao, adminPassword, port, clusterPort }),
    folder.inside('openbao', 'openbao.log'),
  );
  return { ...server, address: server.current().address, auditLog: server.current().auditLog };
}

async function identityProvider(folder: StateFolder, publicUrl: string) {
  return startIdentityProvider({
    folder: folder.inside('identity'),
    port: await folder.port('identity'),
    publicUrl,
    clients: DEMO_CLIENTS,
  });
}
