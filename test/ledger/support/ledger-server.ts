import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../../src/embedded/postgres.ts';
import { systemClock } from '../../../src/foundation/clock.ts';
import { createLog } from '../../../src/foundation/log.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import { connectLedger } from '../../../src/ledger/postgres/connect-ledger.ts';
import type { ConnectedLedger } from '../../../src/ledger/postgres/connect-ledger.ts';
import { administerLedger } from '../../../src/ledger/provision/administer-ledger.ts';
import type { LedgerAdministration } from '../../../src/ledger/provision/administer-ledger.ts';
import { ids } from './examples.ts';

export const silent = createLog('silent');

export const PASSWORDS = {
  owner: new SecretText('canary-owner-password'),
  app: new SecretText('canary-app-password'),
  reader: new SecretText('canary-reader-password'),
};
const SUPERUSER_PASSWORD = new SecretText('canary-superuser-password');

/** A real Postgres for one test file. */
export type LedgerServer = {
  readonly postgres: EmbeddedPostgres;
  /** The superuser's address, in this database. */
  adminUrl(database?: string): SecretText;
  administration(database: string): LedgerAdministration;
  /** A ledger of its own, set up as `backend apply` does. */
  ledger(): Promise<TestLedger>;
  /** Starts the server again, on the same port and data, after a kill. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

export type TestLedger = {
  readonly database: string;
  readonly administration: LedgerAdministration;
  /** Another replica of the broker. */
  connect(
    replica?: string,
    options?: { poolSize?: number; claimSeconds?: number },
  ): ConnectedLedger;
  /** Asks as the superuser. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Shifts the ledger's clock against the server's. */
  shiftClock(seconds: number): Promise<void>;
  close(): Promise<void>;
};

export async function startLedgerServer(): Promise<LedgerServer> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-ledger-'));
  await chmod(folder, 0o755);
  const start = (port?: number) =>
    startPostgres({
      dataDir: join(folder, 'postgres'),
      superuserPassword: SUPERUSER_PASSWORD,
      durable: false,
      ...(port === undefined ? {} : { port }),
    });
  let postgres = await start();
  let made = 0;
  const adminUrl = (database = 'postgres') =>
    new SecretText(
      `postgresql://postgres:${SUPERUSER_PASSWORD.reveal()}@127.0.0.1:${postgres.port}/${database}`,
    );
  const administration = (database: string) =>
    administerLedger({
      admin: { url: adminUrl() },
      database,
      passwords: PASSWORDS,
      ids,
      log: silent,
    });
  return {
    get postgres() {
      return postgres;
    },
    adminUrl,
    administration,
    ledger: async () => {
      const database = `ledger_${++made}`;
      await administration(database).apply();
      return testLedger(database, administration(database), adminUrl(database));
    },
    restart: async () => {
      await postgres.exited;
      postgres = await start(postgres.port);
    },
    stop: async () => {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function testLedger(
  database: string,
  administration: LedgerAdministration,
  adminUrl: SecretText,
): TestLedger {
  const connected: ConnectedLedger[] = [];
  const query = async <Row extends object>(text: string, values: readonly unknown[] = []) => {
    const client = new pg.Client({ connectionString: adminUrl.reveal() });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query<Row>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  };
  return {
    database,
    administration,
    query,
    connect: (replica = 'replica-1', { poolSize = 5, claimSeconds = 15 } = {}) => {
      const { url } = administration.address('app');
      const ledger = connectLedger({
        url,
        poolSize,
        replica,
        claimSeconds,
        clock: systemClock,
        log: silent,
      });
      connected.push(ledger);
      return ledger;
    },
    shiftClock: async (seconds) => {
      await query(`create or replace function mayfly.ledger_now() returns timestamptz
        language sql volatile parallel safe
        as $$ select clock_timestamp() + interval '${seconds} seconds' $$`);
    },
    close: async () => {
      await Promise.all(connected.map((ledger) => ledger.close()));
    },
  };
}
