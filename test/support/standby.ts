import { execFile } from 'node:child_process';
import { chmod, rm, stat, writeFile, chown } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startPostgres } from '../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';

const run = promisify(execFile);

/** A streaming standby of a running server, made of a base backup as PostgreSQL's manual has it. */
export type Standby = {
  readonly postgres: EmbeddedPostgres;
  /** The address of this server, with the login of the primary's superuser. */
  url(database?: string): string;
  /** Makes it the primary; resolves when it takes writes. */
  promote(): Promise<void>;
};

/**
 * @param primaryUrl of its superuser
 * @param folder where the data shall lie; its parent must be one that Postgres's user can enter
 */
export async function startStandby(primaryUrl: string, folder: string): Promise<Standby> {
  const primary = new URL(primaryUrl);
  const data = join(folder, 'data');
  await baseBackup(primaryUrl, data);
  const password = decodeURIComponent(primary.password);
  const postgres = await startPostgres({
    dataDir: data,
    superuserPassword: new SecretText(password),
    durable: false,
    parameters: {
      primary_conninfo: `host=${primary.hostname} port=${primary.port} user=postgres password=${password}`,
      // As long as nothing comes it asks anew this often.
      wal_retrieve_retry_interval: '100ms',
    },
  });
  const url = (database?: string) => {
    const own = new URL(primaryUrl);
    own.port = String(postgres.port);
    if (database !== undefined) own.pathname = `/${database}`;
    return own.href;
  };
  return {
    postgres,
    url,
    promote: async () => {
      await asked(url(), 'select pg_promote(true, 20)');
    },
  };
}

/** Every commit of the primary waits for its standby from now on. */
export async function waitForStandbys(primaryUrl: string): Promise<void> {
  await asked(primaryUrl, "alter system set synchronous_standby_names = '*'");
  await asked(primaryUrl, 'select pg_reload_conf()');
}

export async function asked(url: string, ...statements: string[]): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    let rows: unknown[] = [];
    for (const statement of statements) ({ rows } = await client.query(statement));
    return rows;
  } finally {
    await client.end();
  }
}

async function baseBackup(primaryUrl: string, data: string): Promise<void> {
  const client = new pg.Client({ connectionString: primaryUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ data_directory: string }>('show data_directory');
    const from = rows[0]?.data_directory ?? '';
    await client.query("select pg_backup_start('standby', true)");
    const parent = join(data, '..');
    await run('mkdir', ['-p', parent]);
    await chmod(parent, 0o711);
    await run('cp', ['-a', from, data]);
    const stopped = await client.query<{ labelfile: string }>(
      'select labelfile from pg_backup_stop(false)',
    );
    await rm(join(data, 'postmaster.pid'), { force: true });
    const owner = await stat(from);
    const files = { backup_label: stopped.rows[0]?.labelfile ?? '', 'standby.signal': '' };
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(data, name), text, { mode: 0o600 });
      await chown(join(data, name), owner.uid, owner.gid);
    }
  } finally {
    await client.end();
  }
}
