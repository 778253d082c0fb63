import { open, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { startChild, stopChild } from '../../embedded/child.ts';
import type { Child } from '../../embedded/child.ts';
import { systemClock } from '../../foundation/clock.ts';
import { writeSettings } from './broker-settings.ts';
import type { BrokerProcess } from './world.ts';

/** The built program; seen from the sources and from the built package alike. */
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

/** Milliseconds until a broker that is not ready counts as failed. */
const READY_TIMEOUT_MS = 20_000;
const READY_POLL_MS = 10;
/** Milliseconds. */
const STOP_STEPS = [
  ['SIGTERM', 20_000],
  ['SIGKILL', 5_000],
] as const;

export type BrokerStart = {
  readonly port: number;
  readonly settings: Readonly<Record<string, string>>;
  /** Without an ending: its log and its settings lie beside each other. */
  readonly file: string;
  readonly cwd: string;
  readonly until: 'ready' | 'listening';
};

/** As docs/deploy.md advises: Node's 16 MB, three times, are memory that a broker never needs. */
const YOUNG_GENERATION = '--max-semi-space-size=4';

/**
 * Starts `mayfly serve` as a process of its own that does not outlive us.
 *
 * @throws with what it logged when it does not become ready.
 */
export async function startBroker(start: BrokerStart): Promise<BrokerProcess> {
  const logFile = `${start.file}.log`;
  const envFile = `${start.file}.env`;
  await writeSettings(envFile, { ...start.settings, MAYFLY_LISTEN_PORT: String(start.port) });
  const log = await open(logFile, 'a', 0o600);
  const child = await startChild({
    command: process.execPath,
    args: [YOUNG_GENERATION, `--env-file=${envFile}`, MAIN, 'serve'],
    cwd: start.cwd,
    output: log.fd,
    deathSignal: 'SIGKILL',
  }).finally(() => log.close());
  const url = `http://127.0.0.1:${start.port}`;
  const probe = start.until === 'ready' ? 'readyz' : 'healthz';
  if (!(await answers(child, `${url}/${probe}`))) {
    child.kill('SIGKILL');
    throw new Error(`The broker did not start. It said:\n${await tail(logFile)}`);
  }
  return {
    url,
    pid: child.pid,
    logFile,
    exited: child.exited,
    kill: (signal) => child.kill(signal),
    stop: async () => {
      // A frozen process takes no orderly stop.
      child.kill('SIGCONT');
      await stopChild(child, STOP_STEPS);
    },
  };
}

async function answers(child: Child, url: string): Promise<boolean> {
  const giveUpAt = systemClock.monotonicMs() + READY_TIMEOUT_MS;
  while (child.isRunning() && systemClock.monotonicMs() < giveUpAt) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.status === 200) return true;
    await systemClock.sleep(READY_POLL_MS);
  }
  return false;
}

/** Characters of a log that are worth showing. */
const TAIL = 4_000;

async function tail(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).slice(-TAIL).trim();
}
