import { open, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock } from '../foundation/clock.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import { startChild, stopChild } from './child.ts';
import type { Child, ChildExit } from './child.ts';
import { claim } from './claim.ts';
import type { Claim } from './claim.ts';
import { LOOPBACK, freePort } from './loopback-port.ts';
import { findPostgres } from './postgres-binaries.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { copyFor, ensureCluster, placeOfData, serverOf } from './postgres-cluster.ts';
import { postgresUser } from './system-user.ts';
import type { SystemUser } from './system-user.ts';

export type PostgresOptions = {
  /** Made at the first start. A user other than ours may own it: Postgres never runs as root. */
  readonly dataDir: string;
  /** Of the superuser `postgres`. Set at the first start; later starts do not change it. */
  readonly superuserPassword: SecretText;
  /** Absent: a free one. */
  readonly port?: number;
  /** False gives up safety against a crash of the machine for speed, for tests. Default true. */
  readonly durable?: boolean;
  /** The server's log, appended to. Default: `<dataDir>.log`. */
  readonly logFile?: string;
  /** Further settings of the server, as in postgresql.conf. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Switches TLS on, with this certificate (PEM) and its key. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** What the server sees besides a PATH and the C locale. */
  readonly environment?: Readonly<Record<string, string>>;
};

/** A Postgres on loopback that lives no longer than we do. For trying out and for tests. */
export type EmbeddedPostgres = {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  /** Where the data really lies; elsewhere than asked for when Postgres's user could not get there. */
  readonly dataDir: string;
  /** Resolves when the server is gone, wanted or not. */
  readonly exited: Promise<ChildExit>;
  /** A fast shutdown: open sessions are cut, the data is whole. May be called repeatedly. */
  stop(): Promise<void>;
  /** A bare signal to the server, for tests of what happens then. */
  kill(signal: NodeJS.Signals): void;
};

/** Milliseconds from the start of the server, recovery after a crash included, to its readiness. */
const READY_TIMEOUT_MS = 60_000;
/** Milliseconds between two looks at whether it is ready. */
const READY_POLL_MS = 10;
/** Milliseconds that a server whose owner was killed has to be gone. */
const LEFTOVER_PATIENCE_MS = 10_000;
/** Another process may take a free port before we do. */
const START_ATTEMPTS = 5;
/** Milliseconds. SIGINT is Postgres's fast shutdown, SIGQUIT its immediate one. */
const STOP_STEPS = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 6_000],
  ['SIGKILL', 5_000],
] as const;

/** What every embedded server is started with. One hundred connections and little memory. */
const PARAMETERS = {
  listen_addresses: LOOPBACK,
  // Socket files would lie in a folder that others can reach.
  unix_socket_directories: '',
  shared_buffers: '32MB',
  log_line_prefix: '%m [%p] %u@%d ',
};
/** Gives up safety against a crash of the machine, but not of the server: commits leave it at once. */
const UNSAFE_PARAMETERS = { fsync: 'off', full_page_writes: 'off' };

/**
 * Starts Postgres on `dataDir`, which is made when it is missing. Superuser: `postgres`.
 *
 * @throws with the server's own words when it cannot start, and with the process number when
 *   another process uses the folder.
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const user = await postgresUser();
  const binaries = await findPostgres(user);
  const dataDir = await placeOfData(resolve(options.dataDir), user);
  const claimed = await claim(`${dataDir}.lock`, `The Postgres folder ${dataDir}`);
  try {
    await leftoverGone(dataDir);
    const durable = options.durable ?? true;
    const { superuserPassword } = options;
    await ensureCluster(binaries, { dataDir, superuserPassword, durable, user });
    return await startServer({ ...options, dataDir, durable }, binaries, user, claimed);
  } catch (error) {
    await claimed.release();
    throw error;
  }
}

type Resolved = PostgresOptions & { readonly durable: boolean };

/** A server whose owner was killed is on its way out; starting beside it would fail. */
async function leftoverGone(dataDir: string): Promise<void> {
  const deadline = systemClock.monotonicMs() + LEFTOVER_PATIENCE_MS;
  let pid = await serverOf(dataDir);
  while (pid !== undefined) {
    if (systemClock.monotonicMs() > deadline) {
      throw new Error(
        `A Postgres that an earlier run left (process ${pid}) still uses ${dataDir}. ` +
          `Stop it with: kill -INT ${pid}`,
      );
    }
    await systemClock.sleep(READY_POLL_MS);
    pid = await serverOf(dataDir);
  }
}

async function startServer(
  options: Resolved,
  binaries: PostgresBinaries,
  user: SystemUser | undefined,
  claimed: Claim,
): Promise<EmbeddedPostgres> {
  const logFile = resolve(options.logFile ?? `${options.dataDir}.log`);
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const logStart = await sizeOf(logFile);
    const child = await launch(options, { port, logFile, user, binaries });
    if (await becomesReady(child, options.dataDir)) {
      return server(child, { port, logFile, dataDir: options.dataDir, claimed });
    }
    const said = (await readFile(logFile)).subarray(logStart).toString('utf8');
    if (attempt === START_ATTEMPTS || !isPassing(said, options.port)) {
      throw new Error(`Postgres on ${options.dataDir} did not start. It said:\n${said.trim()}`);
    }
    await systemClock.sleep(attempt * attempt * 100);
  }
}

/**
 * Reasons that pass: a port taken between our look and the server's, and processes of a killed
 * server that are still going down.
 */
function isPassing(said: string, askedPort: number | undefined): boolean {
  const portTaken = said.includes('Address already in use') && askedPort === undefined;
  return portTaken || said.includes('shared memory block') || said.includes('postmaster.pid');
}

type LaunchPlan = {
  readonly port: number;
  readonly logFile: string;
  readonly user: SystemUser | undefined;
  readonly binaries: PostgresBinaries;
};

async function launch(options: Resolved, plan: LaunchPlan): Promise<Child> {
  const parameters = {
    ...PARAMETERS,
    ...(options.durable ? {} : UNSAFE_PARAMETERS),
    ...(await tlsParameters(options, plan.user)),
    ...options.parameters,
  };
  const settings = Object.entries(parameters).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const log = await open(plan.logFile, 'a', 0o600);
  try {
    return await startChild({
      command: join(plan.binaries.folder, 'postgres'),
      args: ['-D', options.dataDir, '-p', String(plan.port), ...settings],
      cwd: options.dataDir,
      output: log.fd,
      ...(options.environment && { environment: options.environment }),
      user: plan.user,
      deathSignal: 'SIGINT',
    });
  } finally {
    await log.close();
  }
}

async function tlsParameters(
  options: Resolved,
  user: SystemUser | undefined,
): Promise<Record<string, string>> {
  if (options.tls === undefined) {
    return {};
  }
  // Postgres refuses a key that its own user does not own.
  await copyFor(user, options.tls.certFile, join(options.dataDir, 'server.crt'));
  await copyFor(user, options.tls.keyFile, join(options.dataDir, 'server.key'));
  return { ssl: 'on' };
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

/** Line 8 of postmaster.pid says `ready` as soon as connections are accepted; pg_ctl looks there. */
async function becomesReady(child: Child, dataDir: string): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + READY_TIMEOUT_MS;
  while (child.isRunning()) {
    const lines = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
    const [pid, , , , , , , status] = lines.split('\n');
    if (Number(pid) === child.pid && status?.trim() === 'ready') {
      return true;
    }
    if (systemClock.monotonicMs() > deadline) {
      await stopChild(child, STOP_STEPS);
      return false;
    }
    await systemClock.sleep(READY_POLL_MS);
  }
  return false;
}

type Running = {
  readonly port: number;
  readonly logFile: string;
  readonly dataDir: string;
  readonly claimed: Claim;
};

function server(child: Child, running: Running): EmbeddedPostgres {
  const exited = child.exited.then(async (exit) => {
    await running.claimed.release();
    return exit;
  });
  return {
    host: LOOPBACK,
    port: running.port,
    pid: child.pid,
    logFile: running.logFile,
    dataDir: running.dataDir,
    exited,
    stop: async () => {
      await stopChild(child, STOP_STEPS);
      await exited;
    },
    kill: (signal) => child.kill(signal),
  };
}
