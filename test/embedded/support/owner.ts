import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import { startChild } from '../../../src/embedded/child.ts';
import { startOpenBao } from '../../../src/embedded/openbao.ts';
import { OWNERS_PASSWORD } from './owners-password.ts';
import { startPostgres } from '../../../src/embedded/postgres.ts';

/**
 * A process that owns servers, for tests that kill it: `owner <folder> <what> <bao>`. Prints one
 * line of JSON when they run, stops them on SIGINT, and crashes on SIGUSR2.
 */
export type Owned = { readonly pids: readonly number[]; readonly postgresPort?: number };

type Server = { readonly pid: number; readonly port?: number; stop(): Promise<void> };
type Watched = Server & { isRunning(): boolean };

const password = new SecretText(OWNERS_PASSWORD);
const [folder = '', what = '', bao = ''] = process.argv.slice(2);

const starters: Record<string, () => Promise<Server & { exited: Promise<unknown> }>> = {
  postgres: () =>
    startPostgres({
      dataDir: join(folder, 'postgres'),
      superuserPassword: password,
      durable: false,
    }),
  openbao: () => startOpenBao({ folder: join(folder, 'openbao'), bao, adminPassword: password }),
  tethered: async () => {
    const child = await startChild(
      { command: '/bin/sleep', args: ['600'], cwd: '/', output: 2, deathSignal: 'SIGKILL' },
      Promise.resolve(undefined),
    );
    return { pid: child.pid, exited: child.exited, stop: () => Promise.resolve() };
  },
};

const servers: Watched[] = [];
await Promise.all(
  what.split(',').map(async (name) => {
    const server = await (starters[name]?.() ?? Promise.reject(new Error(`no ${name}`)));
    let running = true;
    void server.exited.then(() => (running = false));
    servers.push({ ...server, isRunning: () => running });
  }),
);

/** Milliseconds that a signal takes at most to end a server that it reached. */
const SIGNAL_MS = 500;

process.on('SIGINT', () => {
  void stopAll().then((alive) => {
    process.stdout.write(`stopped ${alive}\n`);
    process.exit(0);
  });
});

/** @returns how many a signal to our whole process group had not reached. */
async function stopAll(): Promise<number> {
  await sleep(SIGNAL_MS);
  const alive = servers.filter((server) => server.isRunning()).length;
  await Promise.all(servers.map((server) => server.stop()));
  return alive;
}
process.on('SIGUSR2', () => {
  throw new Error('a crash');
});
setInterval(() => undefined, 1_000);

const postgresPort = servers.find(({ port }) => port !== undefined)?.port;
const owned = { pids: servers.map(({ pid }) => pid), postgresPort };
process.stdout.write(`${JSON.stringify(owned)}\n`);
