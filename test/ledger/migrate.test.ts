import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { migrate, MigrationRefused, schemaState } from '../../src/ledger/migrate.ts';
import type { MigrationSource } from '../../src/ledger/migrate.ts';
import { MIGRATIONS, MIGRATIONS_FOLDER } from '../../src/ledger/migrations.ts';
import type { Migration } from '../../src/ledger/migrations.ts';
import { judgeSchema } from '../../src/ledger/schema-state.ts';
import { connectLedger } from '../../src/ledger/postgres/connect-ledger.ts';
import { active } from './support/examples.ts';
import { silent, startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer } from './support/ledger-server.ts';

let server: LedgerServer;
let folder: string;
const FILES = MIGRATIONS.map(({ file }) => file);

beforeAll(async () => {
  server = await startLedgerServer();
  folder = await mkdtemp(join(tmpdir(), 'mayfly-migrations-'));
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** An empty database, and a way to ask it. */
async function database(name: string) {
  const run = async (text: string, on: string) => {
    const client = new pg.Client({ connectionString: server.adminUrl(on).reveal() });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  };
  await run(`create database ${name}`, 'postgres');
  return { url: server.adminUrl(name), query: (text: string) => run(text, name) };
}

/** The real files, with changes. */
async function source(
  name: string,
  changes: { files?: Record<string, string>; more?: readonly Migration[] },
): Promise<MigrationSource> {
  const copy = join(folder, name);
  await cp(MIGRATIONS_FOLDER, copy, { recursive: true });
  for (const [file, text] of Object.entries(changes.files ?? {})) {
    await writeFile(join(copy, file), text);
  }
  return {
    migrations: [...MIGRATIONS, ...(changes.more ?? [])],
    folder: pathToFileURL(`${copy}/`),
  };
}

const NEXT = MIGRATIONS.length + 1;

describe('migrating', () => {
  test('applies each file once, in order, and the second time none', async () => {
    const { url, query } = await database('once');
    expect(await schemaState({ url })).toMatchObject({ fit: 'behind', version: 0 });
    const report = await migrate({ url }, silent);
    expect(report).toMatchObject({ applied: FILES, schema: { fit: 'current' } });
    const before = await query('select * from mayfly.schema_migration, mayfly.installation');
    expect(await migrate({ url }, silent)).toMatchObject({
      applied: [],
      schema: { fit: 'current' },
    });
    expect(await query('select * from mayfly.schema_migration, mayfly.installation')).toEqual(
      before,
    );
    expect(await schemaState({ url })).toMatchObject({ fit: 'current' });
  });

  test('several at once apply it once', async () => {
    const { url } = await database('together');
    const reports = await Promise.all([1, 2, 3, 4].map(() => migrate({ url }, silent)));
    expect(reports.flatMap(({ applied }) => applied)).toEqual(FILES);
  });

  test('a file that was changed after it was applied is refused', async () => {
    const { url, query } = await database('changed');
    await migrate({ url }, silent);
    const original = await readFile(new URL(FILES[0] ?? '', MIGRATIONS_FOLDER), 'utf8');
    const changed = await source('changed', {
      files: {
        [FILES[0] ?? '']: `${original}\n-- a word more\n`,
        [`000${NEXT}_more.sql`]: 'create table mayfly.more ()',
      },
      more: [{ version: NEXT, file: `000${NEXT}_more.sql`, minReader: 1 }],
    });
    await expect(migrate({ url }, silent, changed)).rejects.toThrow(MigrationRefused);
    await expect(migrate({ url }, silent, changed)).rejects.toThrow(
      /0001_records\.sql is not the file/,
    );
    expect(await query(`select to_regclass('mayfly.more') as more`)).toEqual([{ more: null }]);
  });

  test('a file that fails leaves nothing of itself, and what came before it', async () => {
    const { url, query } = await database('failing');
    const file = `000${NEXT}_broken.sql`;
    const broken = await source('broken', {
      files: { [file]: 'create table mayfly.half (); select 1/0;' },
      more: [{ version: NEXT, file, minReader: 1 }],
    });
    await expect(migrate({ url }, silent, broken)).rejects.toThrow(/_broken\.sql.*22012/);
    expect(await query(`select to_regclass('mayfly.half') as half`)).toEqual([{ half: null }]);
    expect(await schemaState({ url })).toMatchObject({ fit: 'current' });
    const mended = await source('mended', {
      files: { [file]: 'create table mayfly.half ()' },
      more: [{ version: NEXT, file, minReader: 1 }],
    });
    expect((await migrate({ url }, silent, mended)).applied).toEqual([file]);
  });

  test('a schema that is one step ahead serves, two steps ahead it does not', async () => {
    const { url } = await database('ahead');
    const step = (version: number, minReader: number) => ({
      version,
      file: `000${version}_more.sql`,
      minReader,
    });
    const files = {
      [`000${NEXT}_more.sql`]: 'alter table mayfly.lease add column more text',
      [`000${NEXT + 1}_more.sql`]: 'create table mayfly.more ()',
    };
    await migrate({ url }, silent);
    const ledger = connectLedger({
      url,
      poolSize: 2,
      replica: 'a',
      claimSeconds: 15,
      clock: systemClock,
      log: silent,
    });
    await active(ledger);
    const one = await source('one', { files, more: [step(NEXT, 1)] });
    await migrate({ url }, silent, one);
    expect(await schemaState({ url })).toMatchObject({ fit: 'ahead' });
    // Statements that were prepared before the change still work on the same connections.
    const lease = await active(ledger);
    await ledger.endTask({
      taskId: lease.taskId,
      cause: 'completed',
      outcome: null,
      note: null,
      by: 'x',
    });
    expect((await ledger.leases({}, 10, null)).items).toHaveLength(2);
    expect(await migrate({ url }, silent)).toMatchObject({ applied: [], schema: { fit: 'ahead' } });
    const two = await source('two', { files, more: [step(NEXT, 1), step(NEXT + 1, 1)] });
    await migrate({ url }, silent, two);
    expect(await ledger.schema()).toMatchObject({ fit: 'too_new' });
    await expect(migrate({ url }, silent)).rejects.toThrow(MigrationRefused);
    await ledger.close();
  });

  test('a schema that took something away does not serve an older version', async () => {
    const { url } = await database('breaking');
    const file = `000${NEXT}_less.sql`;
    const less = await source('less', {
      files: { [file]: 'drop index mayfly.task_workflow' },
      more: [{ version: NEXT, file, minReader: NEXT }],
    });
    await migrate({ url }, silent, less);
    expect(await schemaState({ url })).toMatchObject({ fit: 'too_new' });
  });
});

describe('the list of steps', () => {
  test('is numbered without gaps, and every file begins with its number', () => {
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, n) => n + 1));
    for (const { version, file, minReader } of MIGRATIONS) {
      expect(file).toMatch(new RegExp(`^${String(version).padStart(4, '0')}_[a-z_]+\\.sql$`));
      expect(minReader).toBeLessThanOrEqual(version);
    }
  });
});

describe('judging a schema', () => {
  test.each([
    [3, 3, 3, 'current'],
    [2, 2, 3, 'behind'],
    [0, 0, 3, 'behind'],
    [4, 3, 3, 'ahead'],
    [4, 4, 3, 'too_new'],
    [5, 3, 3, 'too_new'],
  ])(
    'step %d, readable from %d, by a version that knows %d: %s',
    (version, minReader, known, fit) => {
      expect(judgeSchema(version, minReader, known).fit).toBe(fit);
    },
  );
});
