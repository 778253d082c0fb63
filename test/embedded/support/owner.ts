import { join } from 'node:path';
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

type Server = { readonly pid: number; stop(): Promise<void> };

const password = new SecretText(OWNERS_PASSWORD);
const [folder = '', what = '', bao = ''] = process.argv.slice(2);

const starters: Record<string, () => Promise<Server & { port?: number }>> = {
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
    return { pid: child.pid, stop: () => Promise.resolve() };
  },
};

const servers: (Server & { port?: number })[] = [];
await Promise.all(
  what.split(',').map(async (name) => {
    servers.push(await (starters[name]?.() ?? Promise.reject(new Error(`no ${name}`))));
  }),
);

process.on('SIGINT', () => {
  // What the terminal does to a whole process group may not have reached the servers.
  const alive = servers.filter(({ pid }) => process.kill(pid, 0)).length;
  void Promise.all(servers.map((server) => server.stop())).then(() => {
    process.stdout.write(`stopped ${alive}\n`);
    process.exit(0);
  });
});
process.on('SIGUSR2', () => {
  throw new Error('a crash');
});
setInterval(() => undefined, 1_000);

const postgresPort = servers.find(({ port }) => port !== undefined)?.port;
const owned = { pids: servers.map(({ pid }) => pid), postgresPort };
process.stdout.write(`${JSON.stringify(owned)}\n`);
