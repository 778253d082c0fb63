import { createHash } from 'node:crypto';
import pg from 'pg';
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type { Log } from '../../foundation/log.ts';
import { LedgerUnreachable } from '../ledger.ts';
import { connectionConfig } from './ledger-address.ts';
import type { LedgerAddress } from './ledger-address.ts';
import { translateError } from './translate-error.ts';

/** Milliseconds after which an idle connection is closed. */
const IDLE_TIMEOUT_MS = 60_000;
/** Seconds after which a connection is replaced, so that a moved server is found by its new address. */
const LIFETIME_SECONDS = 1_800;
/** Statements that are prepared per connection; lists with many filters go beyond it, unnamed. */
const NAMED_STATEMENTS_MAX = 200;
const NAMEABLE = /^\s*(select|insert|update|delete|with)\b/i;

/** Names of statements by their text; shared, since a name means the same on every connection. */
const names = new Map<string, string>();

export type LedgerPool = Omit<PostgresPool, 'connect'> & { connect(): Promise<LedgerSession> };

/**
 * A pool for kysely whose statements are prepared once per connection (kysely sends unnamed ones,
 * which costs about a third of the throughput), whose errors are ours, and which throws away
 * connections that are broken or that lead to a read-only server.
 */
export function ledgerPool(address: LedgerAddress, poolSize: number, log: Log): LedgerPool {
  const pool = new pg.Pool({
    ...connectionConfig(address),
    // Statements of one transaction may follow each other without waiting for answers.
    pipeline: true,
    max: poolSize,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    maxLifetimeSeconds: LIFETIME_SECONDS,
  });
  pool.on('error', (error) => {
    log.warn({ reason: translateError(error).error.message }, 'lost an idle ledger connection');
  });
  // Without a listener an error of a connection in use would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const sessions = new WeakMap<pg.PoolClient, LedgerSession>();
  return {
    // The only field of options that a caller of kysely may see.
    options: {},
    connect: async () => {
      const client = await connect(pool);
      let session = sessions.get(client);
      if (session === undefined) {
        session = new LedgerSession(client);
        await session.refuseReadOnly();
        sessions.set(client, session);
      }
      return session;
    },
    end: () => pool.end(),
  } as LedgerPool;
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    const { error: translated } = translateError(error);
    if (translated instanceof LedgerUnreachable) throw translated;
    throw new LedgerUnreachable('The ledger cannot be reached.');
  }
}

/** One connection; queries that do not wait for each other are answered in order. */
export class LedgerSession implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  #broken = false;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  query<Row>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<Row>>;
  query<Row>(cursor: never): Row;
  async query(text: string, values: readonly unknown[] = []): Promise<unknown> {
    const name = statementName(text);
    try {
      return await this.#client.query({ ...(name ? { name } : {}), text, values: [...values] });
    } catch (error) {
      const translated = translateError(error);
      this.#broken ||= translated.drop;
      throw translated.error;
    }
  }

  /** What `send` sends goes out in one packet, one system call instead of one a statement. */
  together<Sent>(send: () => Sent): Sent {
    const stream = this.#client instanceof pg.Client ? this.#client.connection.stream : undefined;
    stream?.cork();
    try {
      return send();
    } finally {
      stream?.uncork();
    }
  }

  release(): void {
    this.#client.release(this.#broken);
  }

  /** After a failover an address may still lead to the old primary, which is read-only then. */
  async refuseReadOnly(): Promise<void> {
    try {
      const { rows } = await this.query<{ setting: string }>(
        "select current_setting('transaction_read_only') as setting",
        [],
      );
      if (rows[0]?.setting === 'off') return;
      throw new LedgerUnreachable('The ledger is read-only: this server is not the primary.');
    } catch (error) {
      this.#client.release(true);
      throw error;
    }
  }
}

function statementName(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined) return known;
  if (names.size >= NAMED_STATEMENTS_MAX || !NAMEABLE.test(text)) return undefined;
  const name = `mayfly_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
  names.set(text, name);
  return name;
}
