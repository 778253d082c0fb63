import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { ensureOrdersDatabase } from '../../src/embedded/demo-target.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.ts';

const superuserPassword = new SecretText('superuser');
let folder = '';
let server: EmbeddedPostgres;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-orders-'));
  await chmod(folder, 0o711);
  server = await startPostgres({ dataDir: join(folder, 'd'), superuserPassword, durable: false });
  await ensure();
  await asSuperuser(async (client) => {
    await client.query(`create role reader login password 'r' in role orders_readers`);
    await client.query(`create role writer login password 'w' in role orders_writers`);
    await client.query(`create role outsider login password 'o'`);
  });
});

afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function ensure() {
  const { host, port } = server;
  return ensureOrdersDatabase({ host, port, user: 'postgres', password: superuserPassword });
}

async function connected<Value>(
  user: string,
  password: string,
  database: string,
  work: (client: pg.Client) => Promise<Value>,
): Promise<Value> {
  const client = new pg.Client({ host: server.host, port: server.port, user, password, database });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function asSuperuser<Value>(work: (client: pg.Client) => Promise<Value>) {
  return connected('postgres', superuserPassword.reveal(), 'orders', work);
}

function ask(user: string, password: string, sql: string) {
  return connected(user, password, 'orders', async (client) => {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  });
}

/** A hash over all rows in their order. */
const FINGERPRINT = `
select md5(string_agg(c::text, '|' order by id)) as hash from customers as c
union all select md5(string_agg(o::text, '|' order by id)) from orders as o
union all select md5(string_agg(i::text, '|' order by id)) from invoices as i`;

describe('the demo target', () => {
  test('holds some thousand rows, the same ones everywhere', async () => {
    const rows = await asSuperuser(async (client) => {
      await client.query(`set timezone = 'UTC'`);
      return (await client.query(FINGERPRINT)).rows as unknown;
    });
    expect(rows).toEqual([
      { hash: 'ec197d535a9318055737ff8f16f1ad1c' },
      { hash: 'f3afa6d8cf64b82c826d122a759b9c94' },
      { hash: '5e3a43bd948f4e3d56b312b86ad082a4' },
    ]);
    const off = `select count(*)::int as n from orders join invoices on order_id = orders.id
                  where amount_cents <> total_cents`;
    expect(await ask('reader', 'r', off)).toEqual([{ n: 189 }]);
  });

  test('is not changed by a second run', async () => {
    await asSuperuser((client) => client.query('update invoices set reconciled = true'));
    await ensure();
    expect(
      await ask('reader', 'r', 'select count(*)::int as n from invoices where not reconciled'),
    ).toEqual([{ n: 0 }]);
  });

  test('lets readers read and writers write, and neither anything else', async () => {
    const refused = { code: '42501' };
    await expect(ask('reader', 'r', 'update orders set total_cents = 1')).rejects.toMatchObject(
      refused,
    );
    await ask('writer', 'w', `update orders set status = 'shipped' where id = 1`);
    for (const sql of [
      'delete from orders',
      'update customers set name = $$x$$',
      'create table public.mine (x int)',
      'create schema mine',
      'create temp table mine (x int)',
    ]) {
      await expect(ask('writer', 'w', sql)).rejects.toMatchObject(refused);
    }
  });

  test.each(['orders', 'postgres', 'template1'])(
    'lets nobody who is in no group connect to %s',
    async (database) => {
      const login = connected('outsider', 'o', database, () => Promise.resolve());
      await expect(login).rejects.toMatchObject({ code: '42501' });
    },
  );

  test('gives its groups nothing that they own', async () => {
    const owned = await asSuperuser(async (client) => {
      const sql = `select count(*)::int as n from pg_class
                    where relowner in ('orders_readers'::regrole, 'orders_writers'::regrole)`;
      return (await client.query(sql)).rows as unknown;
    });
    expect(owned).toEqual([{ n: 0 }]);
  });
});
