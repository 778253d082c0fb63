import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync } from 'node:fs';
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { SecretText } from '../../../src/foundation/secret-text.ts';

const BINARIES = '/usr/lib/postgresql/15/bin';

/** Debian's Postgres 15 is where it is installed: a version before memberships had options. */
export const hasPostgres15 = existsSync(join(BINARIES, 'postgres'));

type Options = {
  readonly dataDir: string;
  readonly superuserPassword: SecretText;
  readonly parameters?: Readonly<Record<string, string>>;
};

/** Postgres refuses root, so root starts it as the user of Debian's package. */
function user(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres']).toString());
  return { uid: id('-u'), gid: id('-g') };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

export async function startDebianPostgres({ dataDir, superuserPassword, parameters }: Options) {
  const as = user();
  await mkdir(dataDir, { recursive: true });
  await chmod(dirname(dataDir), 0o755);
  const passwordFile = `${dataDir}.password`;
  await writeFile(passwordFile, superuserPassword.reveal(), { mode: 0o600 });
  if (as) for (const path of [dataDir, passwordFile]) await chown(path, as.uid, as.gid);
  execFileSync(
    join(BINARIES, 'initdb'),
    [
      ...['-D', dataDir, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', passwordFile],
      ...['-E', 'UTF8', '--locale=C', '--no-instructions', '--no-sync'],
    ],
    { ...as, stdio: 'ignore', cwd: dataDir },
  );
  await rm(passwordFile);
  const port = await freePort();
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'off',
    ...parameters,
  };
  const child = spawn(
    join(BINARIES, 'postgres'),
    [
      ...['-D', dataDir, '-p', String(port)],
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...as, cwd: dataDir, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const logFile = `${dataDir}.log`;
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (data: Buffer) => {
      said += data.toString();
      appendFileSync(logFile, data);
      if (said.includes('ready to accept connections')) resolve();
    });
    child.once('exit', () => reject(new Error(`Postgres 15 did not start:\n${said}`)));
  });
  return {
    host: '127.0.0.1' as const,
    port,
    logFile,
    async stop() {
      if (child.exitCode !== null) return;
      child.kill('SIGINT');
      await once(child, 'exit');
    },
  };
}
