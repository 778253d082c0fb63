import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import type { Log } from '../foundation/log.ts';
import { GRANTS_FILE, KNOWN_VERSION, MIGRATIONS, MIGRATIONS_FOLDER } from './migrations.ts';
import type { Migration } from './migrations.ts';
import type { LedgerAddress } from './postgres/ledger-address.ts';
import { connectToPrimary } from './postgres/primary-client.ts';
import { LedgerFault, translateError } from './postgres/translate-error.ts';
import { judgeSchema } from './schema-state.ts';
import type { SchemaState } from './schema-state.ts';

/** The advisory lock under which migrations run, one process at a time: "mayfly" in ASCII. */
const MIGRATION_LOCK = 0x6d6179666c79n;
/** Milliseconds that one statement of a migration may run, and that it may wait for a table. */
const MIGRATION_STATEMENT_TIMEOUT_MS = 600_000;
const MIGRATION_LOCK_TIMEOUT_MS = 60_000;

/** A file that failed or that is not the one applied before, or a schema that must be left alone. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused';
}

export type MigrationReport = {
  /** Files applied now, in order. */
  readonly applied: readonly string[];
  readonly schema: SchemaState;
};

/** What tests may replace: another list of steps, in another folder. */
export type MigrationSource = {
  readonly migrations: readonly Migration[];
  readonly folder: URL;
};

const OWN_SOURCE: MigrationSource = { migrations: MIGRATIONS, folder: MIGRATIONS_FOLDER };

/**
 * Brings the ledger's schema to what this version needs: each file once, in order, each in its own
 * transaction, one process at a time. Forward only. Needs the owner's login.
 *
 * @throws MigrationRefused when an applied file has been changed since, or the schema is newer than
 *   this version; LedgerUnreachable when Postgres cannot be asked.
 */
export async function migrate(
  address: LedgerAddress,
  log: Log,
  source: MigrationSource = OWN_SOURCE,
): Promise<MigrationReport> {
  return await withConnection(address, async (client) => {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK.toString()]);
    await prepare(client);
    const before = await readSteps(client);
    const known = source.migrations.length;
    const fit = judge(before, known);
    if (fit.fit === 'too_new') throw new MigrationRefused(fit.detail);
    const files = await Promise.all(source.migrations.map((step) => load(step, source.folder)));
    refuseChanged(before, files);
    const missing = files.filter((file) => !before.some((step) => step.version === file.version));
    for (const file of missing) {
      await apply(client, file);
      log.info({ migration: file.file }, 'applied a migration of the ledger');
    }
    if (fit.fit !== 'ahead') await grant(client, source.folder);
    return {
      applied: missing.map((file) => file.file),
      schema: judge(await readSteps(client), known),
    };
  });
}

/** How the schema at this address fits this version. Any login of the ledger may ask. */
export async function schemaState(address: LedgerAddress): Promise<SchemaState> {
  return await withConnection(address, async (client) => judge(await readSteps(client)));
}

type Step = { readonly version: number; readonly checksum: string; readonly min_reader: number };
type File = Migration & { readonly text: string; readonly checksum: string };

async function withConnection<Value>(
  address: LedgerAddress,
  work: (client: pg.Client) => Promise<Value>,
): Promise<Value> {
  let client: pg.Client | undefined;
  try {
    client = await connectToPrimary(address, {
      statement_timeout: MIGRATION_STATEMENT_TIMEOUT_MS,
      lock_timeout: MIGRATION_LOCK_TIMEOUT_MS,
      query_timeout: MIGRATION_STATEMENT_TIMEOUT_MS + MIGRATION_LOCK_TIMEOUT_MS,
    });
    return await work(client);
  } catch (error) {
    if (error instanceof MigrationRefused) throw error;
    throw translateError(error).error;
  } finally {
    await client?.end().catch(() => undefined);
  }
}

async function prepare(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(
    "select from pg_catalog.pg_namespace where nspname = 'mayfly'",
  );
  // Asking first: "if not exists" demands the right to create even where nothing is to be made.
  if (rowCount === 0) await client.query('create schema mayfly');
  await client.query(`create table if not exists mayfly.schema_migration (
    version integer primary key,
    file text not null,
    checksum text not null,
    min_reader integer not null,
    applied_at timestamptz not null default clock_timestamp()
  )`);
}

async function readSteps(client: pg.Client): Promise<readonly Step[]> {
  const { rows: found } = await client.query<{ exists: boolean }>(
    "select to_regclass('mayfly.schema_migration') is not null as exists",
  );
  if (found[0]?.exists !== true) return [];
  const { rows } = await client.query<Step>(
    'select version, checksum, min_reader from mayfly.schema_migration order by version',
  );
  return rows;
}

function judge(steps: readonly Step[], known = KNOWN_VERSION): SchemaState {
  const version = Math.max(0, ...steps.map((step) => step.version));
  return judgeSchema(version, Math.max(0, ...steps.map((step) => step.min_reader)), known);
}

async function load(migration: Migration, folder: URL): Promise<File> {
  const text = await readFile(new URL(migration.file, folder), 'utf8');
  return { ...migration, text, checksum: createHash('sha256').update(text).digest('hex') };
}

function refuseChanged(applied: readonly Step[], files: readonly File[]): void {
  for (const step of applied) {
    const file = files.find((candidate) => candidate.version === step.version);
    if (file === undefined || file.checksum === step.checksum) continue;
    throw new MigrationRefused(
      `${file.file} is not the file that was applied to this ledger (SHA-256 ${file.checksum}, ` +
        `applied ${step.checksum}). Restore it, and put changes into a new file.`,
    );
  }
}

async function apply(client: pg.Client, file: File): Promise<void> {
  await client.query('begin');
  try {
    await client.query(file.text);
    await client.query(
      'insert into mayfly.schema_migration (version, file, checksum, min_reader) values ($1, $2, $3, $4)',
      [file.version, file.file, file.checksum, file.minReader],
    );
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    if (!(error instanceof pg.DatabaseError)) throw error;
    if (!(translateError(error).error instanceof LedgerFault)) throw error;
    // Our own file, without parameters: the server's words repeat no secret, and name the fault.
    throw new MigrationRefused(`${file.file}: ${error.message} (SQLSTATE ${error.code ?? '?'})`);
  }
}

async function grant(client: pg.Client, folder: URL): Promise<void> {
  await client.query(await readFile(new URL(GRANTS_FILE, folder), 'utf8'));
}
