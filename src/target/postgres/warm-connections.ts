import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { Clock } from '../../foundation/clock.ts';
import type { Log } from '../../foundation/log.ts';
import type { SecretText } from '../../foundation/secret-text.ts';
import { errorWords } from './error-words.ts';
import { TargetUnreachable } from '../target-unreachable.ts';

/** Where a login connects to, and how it checks whom it has reached. */
export type Endpoint = {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** `disable` only on loopback; otherwise the server's name is checked, always. */
  readonly tls: 'disable' | { readonly caFile?: string };
};

export type Login = { readonly username: string; readonly password: SecretText };

/** Milliseconds to a usable connection, TLS and login included. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Milliseconds after which the server gives a statement up: a full batch of hostile names fits. */
const STATEMENT_TIMEOUT_MS = 15_000;
/** Milliseconds after which we do, when the server is stopped or the network swallows all. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2_000;
/** Milliseconds that a connection beyond the warm one is kept idle. */
const IDLE_MS = 30_000;
/** Milliseconds between two attempts to have a warm connection again. */
const REWARM_MS = 1_000;
/** Errors of the server after which the connection is of no use. */
const FATAL_STATES = new Set(['57P01', '57P02', '57P03', '57P05']);

/** Connections of one login to one target; the first is kept open for as long as the process lives. */
export type WarmConnections = {
  /**
   * Runs one named prepared statement. A call whose connection broke is repeated once on a fresh
   * one, so the statement must be one that may be repeated.
   *
   * @throws TargetUnreachable when no connection can be had or the answer was lost
   */
  ask<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
};

export type Statement = { readonly name: string; readonly text: string };

export async function openConnections(
  endpoint: Endpoint,
  login: Login,
  max: number,
  clock: Clock,
  log?: Log,
): Promise<WarmConnections> {
  const pool = new pg.Pool(await poolConfig(endpoint, login, max));
  const stopped = new AbortController();
  pool.on('error', (error) => log?.warn({ reason: error.message }, 'a target connection broke'));
  // The pool listens only while a connection is idle. Of one in use the query's own rejection tells,
  // and without any listener the error would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  pool.on('remove', () => void keepWarm());

  let warming = false;
  const keepWarm = async () => {
    if (warming) return;
    warming = true;
    while (!stopped.signal.aborted && pool.totalCount === 0) {
      try {
        (await pool.connect()).release();
      } catch {
        await clock.sleep(REWARM_MS, stopped.signal);
      }
    }
    warming = false;
  };
  void keepWarm();

  return {
    async ask<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[]) {
      try {
        return await attempt<Row>(pool, statement, values);
      } catch (error) {
        if (!(error instanceof TargetUnreachable) || stopped.signal.aborted) throw error;
        return attempt<Row>(pool, statement, values);
      }
    },
    async close() {
      stopped.abort();
      await pool.end();
    },
  };
}

async function attempt<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  statement: Statement,
  values: unknown[],
): Promise<Row[]> {
  let client: pg.PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    throw new TargetUnreachable(errorWords(error));
  }
  let broken = true;
  try {
    const { rows } = await client.query<Row>({ ...statement, values });
    broken = false;
    return rows;
  } catch (error) {
    broken = isBroken(error);
    throw broken ? new TargetUnreachable(errorWords(error)) : error;
  } finally {
    client.release(broken);
  }
}

/** Anything but an ordinary answer of the server leaves the connection in doubt. */
function isBroken(error: unknown): boolean {
  return !(error instanceof pg.DatabaseError) || FATAL_STATES.has(error.code ?? '');
}

/**
 * Plans that are made once a connection and find their rows through an index. What Postgres chooses by
 * itself, hash joins over all roles, grows with every credential that lives (decision 29).
 */
const PLANS = [
  'plan_cache_mode=force_generic_plan',
  'enable_hashjoin=off',
  'enable_mergejoin=off',
  'enable_seqscan=off',
  'jit=off',
];

async function poolConfig(endpoint: Endpoint, login: Login, max: number): Promise<pg.PoolConfig> {
  return {
    host: endpoint.host,
    port: endpoint.port,
    database: endpoint.database,
    user: login.username,
    password: login.password.reveal(),
    ssl: await tlsOptions(endpoint.tls),
    max,
    min: 1,
    idleTimeoutMillis: IDLE_MS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'mayfly',
    // Names in our statements resolve in the catalogue only, and each statement sees what was
    // committed before it, whatever the target's defaults are.
    options: [
      'search_path=pg_catalog',
      'default_transaction_isolation=read\\ committed',
      'default_transaction_read_only=off',
      ...PLANS,
      `statement_timeout=${STATEMENT_TIMEOUT_MS}`,
      'idle_in_transaction_session_timeout=5000',
    ]
      .map((setting) => `-c ${setting}`)
      .join(' '),
  };
}

async function tlsOptions(tls: Endpoint['tls']): Promise<false | ConnectionOptions> {
  if (tls === 'disable') return false;
  return tls.caFile === undefined
    ? { rejectUnauthorized: true }
    : { rejectUnauthorized: true, ca: await readFile(tls.caFile, 'utf8') };
}
