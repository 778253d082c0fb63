import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { systemClock } from '../foundation/clock.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import { ADMINISTRATOR, baoConfiguration } from './bao-configuration.ts';
import { baoFiles, prepareFolder, writePrivate } from './bao-files.ts';
import type { OpenBaoFiles } from './bao-files.ts';
import { administratorToken } from './bao-login.ts';
import { baoRequest } from './bao-request.ts';
import type { BaoEndpoint } from './bao-request.ts';
import { startChild, stopChild } from './child.ts';
import type { Child, ChildExit } from './child.ts';
import { claim } from './claim.ts';
import type { Claim } from './claim.ts';
import { LOOPBACK, freePort } from './loopback-port.ts';

export type OpenBaoOptions = {
  /** Made at the first start, with mode 0700. */
  readonly folder: string;
  /** The `bao` program. */
  readonly bao: string;
  /** Of the administrator. Set at the first start; later starts do not change it. */
  readonly adminPassword: SecretText;
  /** Absent: free ones. */
  readonly port?: number;
  readonly clusterPort?: number;
  /** Seconds after which OpenBao gives a request up. Default 15. */
  readonly maxRequestDurationSeconds?: number;
  /** Switches TLS on; `caFile` is what clients trust (all PEM). */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caFile: string };
};

/** An OpenBao on loopback that lives no longer than we do. For trying out and for tests. */
export type EmbeddedOpenBao = {
  /** `http://127.0.0.1:<port>`, or https with TLS. */
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  /** What clients must trust; absent without TLS. */
  readonly caFile?: string;
  readonly admin: {
    readonly username: string;
    /** Holds the password; mode 0600. */
    readonly passwordFile: string;
    /** A token for an hour. There is no root token. */
    login(): Promise<SecretText>;
  };
  readonly auditLog: string;
  readonly serverLog: string;
  /** Resolves when the server is gone, wanted or not. */
  readonly exited: Promise<ChildExit>;
  stop(): Promise<void>;
  /** A bare signal to the server, for tests of what happens then. */
  kill(signal: NodeJS.Signals): void;
};

const DEFAULT_MAX_REQUEST_DURATION_S = 15;
/**
 * Leases that OpenBao ends at a time by itself. It does one thing at a time at each database, so with
 * its own 200 a mint stands in line behind as many ends (docs/decisions, 0129).
 */
const REVOCATION_WORKERS = 4;
/** Milliseconds; a first start takes a little over a second. */
const READY_TIMEOUT_MS = 60_000;
/** Milliseconds between two looks at whether it is ready. */
const READY_POLL_MS = 10;
/** Another process may take a free port before we do. */
const START_ATTEMPTS = 5;
/** Milliseconds. On SIGTERM OpenBao lets requests that run come to their end. */
const STOP_STEPS = [
  ['SIGTERM', 10_000],
  ['SIGKILL', 5_000],
] as const;
/**
 * OpenBao prints this when it listens and has initialised itself. At a first start its health is
 * good a second earlier; at later ones it is elected only after this line. So both are asked.
 */
const READY_LINE = '==> OpenBao server started!';

/**
 * Starts OpenBao on `folder`: raft storage, unsealed by a key in a file, self-initialised, every
 * request in an audit file, no root token.
 *
 * @throws with the server's own words when it cannot start, and with the process number when
 *   another process uses the folder.
 */
export async function startOpenBao(options: OpenBaoOptions): Promise<EmbeddedOpenBao> {
  const files = baoFiles(resolve(options.folder));
  await mkdir(files.folder, { recursive: true, mode: 0o700 });
  const claimed = await claim(files.lock, `The OpenBao folder ${files.folder}`);
  try {
    await prepareFolder(files, options.adminPassword);
    const started = await startServer(options, files, claimed);
    await writePrivate(files.complete, '');
    return started;
  } catch (error) {
    await claimed.release();
    throw error;
  }
}

async function startServer(
  options: OpenBaoOptions,
  files: OpenBaoFiles,
  claimed: Claim,
): Promise<EmbeddedOpenBao> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const clusterPort = options.clusterPort ?? (await freePort());
    const address = `${options.tls ? 'https' : 'http'}://${LOOPBACK}:${port}`;
    const logStart = await sizeOf(files.serverLog);
    const child = await launch(options, files, { address, port, clusterPort });
    const endpoint = { address, caFile: options.tls?.caFile };
    if (await becomesReady(child, endpoint, files.serverLog, logStart)) {
      return server(child, { options, files, address, port, claimed });
    }
    const said = await readFrom(files.serverLog, logStart);
    if (attempt === START_ATTEMPTS || !isPassing(said, options)) {
      throw new Error(`OpenBao in ${files.folder} did not start. It said:\n${said.trim()}`);
    }
    await systemClock.sleep(attempt * attempt * 100);
  }
}

/** A port taken between our look and the server's, and the database of a killed server, unlocked soon. */
function isPassing(said: string, options: OpenBaoOptions): boolean {
  const asked = options.port !== undefined && options.clusterPort !== undefined;
  return (said.includes('address already in use') && !asked) || said.includes('timeout');
}

type Ports = { readonly address: string; readonly port: number; readonly clusterPort: number };

async function launch(options: OpenBaoOptions, files: OpenBaoFiles, ports: Ports): Promise<Child> {
  const configuration = baoConfiguration({
    files,
    address: ports.address,
    listen: `${LOOPBACK}:${ports.port}`,
    clusterListen: `${LOOPBACK}:${ports.clusterPort}`,
    maxRequestDurationSeconds: options.maxRequestDurationSeconds ?? DEFAULT_MAX_REQUEST_DURATION_S,
    tls: options.tls,
  });
  await writePrivate(files.configuration, configuration);
  const log = await open(files.serverLog, 'a', 0o600);
  try {
    return await startChild({
      command: options.bao,
      args: ['server', `-config=${files.configuration}`],
      cwd: files.folder,
      environment: { BAO_LEASE_REVOCATION_WORKERS: String(REVOCATION_WORKERS) },
      output: log.fd,
      // Its storage survives this, and nothing can delay it.
      deathSignal: 'SIGKILL',
    });
  } finally {
    await log.close();
  }
}

async function becomesReady(
  child: Child,
  endpoint: BaoEndpoint,
  log: string,
  logStart: number,
): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + READY_TIMEOUT_MS;
  while (child.isRunning()) {
    const listens = (await readFrom(log, logStart)).includes(READY_LINE);
    if (listens && (await isActive(endpoint))) {
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

/** 200 is: initialised, unsealed, and the active node. */
async function isActive(endpoint: BaoEndpoint): Promise<boolean> {
  const reply = await baoRequest(endpoint, 'GET', '/v1/sys/health').catch(() => undefined);
  return reply?.status === 200;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

async function readFrom(file: string, start: number): Promise<string> {
  return (await readFile(file)).subarray(start).toString('utf8');
}

type Running = {
  readonly options: OpenBaoOptions;
  readonly files: OpenBaoFiles;
  readonly address: string;
  readonly port: number;
  readonly claimed: Claim;
};

function server(child: Child, running: Running): EmbeddedOpenBao {
  const { files, address } = running;
  const caFile = running.options.tls?.caFile;
  const exited = child.exited.then(async (exit) => {
    await running.claimed.release();
    return exit;
  });
  return {
    address,
    port: running.port,
    pid: child.pid,
    ...(caFile === undefined ? {} : { caFile }),
    admin: {
      username: ADMINISTRATOR,
      passwordFile: files.adminPassword,
      login: () => administratorToken({ address, caFile }, files.adminPassword),
    },
    auditLog: files.auditLog,
    serverLog: files.serverLog,
    exited,
    stop: async () => {
      await stopChild(child, STOP_STEPS);
      await exited;
    },
    kill: (signal) => child.kill(signal),
  };
}
