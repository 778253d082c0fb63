import { afterAll, describe, expect, test } from '@jest/globals';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.ts';

const superuserPassword = new SecretText('correct horse');
const folders: string[] = [];
const servers: EmbeddedPostgres[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-postgres-'));
  // Passable for the user that Postgres runs as when we are root.
  await chmod(folder, 0o711);
  folders.push(folder);
  return folder;
}

async function start(dataDir: string, more: object = {}): Promise<EmbeddedPostgres> {
  const server = await startPostgres({ dataDir, superuserPassword, durable: false, ...more });
  servers.push(server);
  return server;
}

async function ask(server: EmbeddedPostgres, sql: string, password = superuserPassword) {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: 'postgres',
    password: password.reveal(),
    database: 'postgres',
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

describe('the embedded Postgres', () => {
  test('starts on an empty folder, keeps its data over stop and start, and checks passwords', async () => {
    const dataDir = join(await newFolder(), 'data');
    const first = await start(dataDir);
    await ask(first, 'create table kept as select 1 as x');
    await first.stop();
    const second = await start(dataDir);
    expect(await ask(second, 'select x from kept')).toEqual([{ x: 1 }]);
    await expect(ask(second, 'select 1', new SecretText('wrong'))).rejects.toMatchObject({
      code: '28P01',
    });
  });
});
