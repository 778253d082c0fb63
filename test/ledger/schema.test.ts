import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { TASK_COLUMNS } from '../../src/ledger/postgres/task-row.ts';
import { LEASE_COLUMNS } from '../../src/ledger/postgres/lease-row.ts';
import { describeSchema } from './support/describe-schema.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

const DUMP = new URL('../../migrations/schema.dump', import.meta.url);

let server: LedgerServer;
let ledger: TestLedger;

beforeAll(async () => {
  server = await startLedgerServer();
  ledger = await server.ledger();
});
afterAll(async () => {
  await ledger.close();
  await server.stop();
});

/** After a new migration: MAYFLY_WRITE_DUMP=1, and read the difference in the review. */
test('the migrations make the schema that is committed as migrations/schema.dump', async () => {
  const dump = await describeSchema(server.adminUrl(ledger.database));
  if (process.env.MAYFLY_WRITE_DUMP === '1') await writeFile(DUMP, dump);
  expect(dump).toBe(await readFile(DUMP, 'utf8'));
});

test('every column of a lease and of a task is read by name', async () => {
  const columns = async (table: string) =>
    (
      await ledger.query<{ name: string }>(
        `select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
        [table],
      )
    ).map(({ name }) => name);
  // The hash is only compared, and what is due is computed.
  expect((await columns('mayfly.lease')).sort()).toEqual(
    [...LEASE_COLUMNS, 'credential_sha256', 'due_at', 'request_sha256'].sort(),
  );
  expect((await columns('mayfly.task')).sort()).toEqual([...TASK_COLUMNS].sort());
});
