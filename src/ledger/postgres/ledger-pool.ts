import pg from 'pg';
import type { PostgresPool } from 'kysely';
import type { Log } from '../../foundation/log.ts';
import { LedgerUnreachable } from '../ledger.ts';
import { connectionConfigs } from './ledger-address.ts';
import type { LedgerAddress } from './ledger-address.ts';
import { LedgerSession } from './ledger-session.ts';
import { translateError } from './translate-error.ts';

/** Milliseconds after which an idle connection is closed. */
const IDLE_TIMEOUT_MS = 60_000;
/** Seconds after which a connection is replaced, so that a moved server is found by its new address. */
const LIFETIME_SECONDS = 1_800;

export type LedgerPool = Omit<PostgresPool, 'connect'> & { connect(): Promise<LedgerSession> };

/**
 * A pool for kysely whose statements are prepared once per connection (kysely sends unnamed ones,
 * which costs about a third of the throughput), whose errors are ours, and which leads to the primary
 * only: to whichever of the address's hosts that is.
 */
export function ledgerPool(address: LedgerAddress, poolSize: number, log: Log): LedgerPool {
  const hosts = new PrimaryOf(
    connectionConfigs(address).map((config) => openPool(config, poolSize, log)),
    log,
  );
  return {
    // The only field of options that a caller of kysely may see.
    options: {},
    connect: () => hosts.connect(),
    end: () => hosts.end(),
  } as LedgerPool;
}

function openPool(config: pg.ClientConfig, poolSize: number, log: Log): pg.Pool {
  const pool = new pg.Pool({
    ...config,
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
  return pool;
}

/** A connection, and in which of the times between two failovers it was opened. */
type Known = { readonly session: LedgerSession; readonly era: number };

/**
 * One cluster by its hosts. Connections are only ever lent out that lead to the newest primary that
 * this process has seen: not to a standby, not to a server that was made read-only meanwhile, and not
 * to an old primary that nobody fenced after another was promoted.
 */
class PrimaryOf {
  readonly #pools: readonly pg.Pool[];
  readonly #log: Log;
  readonly #known = new WeakMap<pg.PoolClient, Known>();
  #primary: pg.Pool | undefined;
  #searching: Promise<pg.Pool> | undefined;
  #newestTimeline = 0;
  #era = 0;

  constructor(pools: readonly pg.Pool[], log: Log) {
    this.#pools = pools;
    this.#log = log;
    const [only, ...others] = pools;
    if (others.length === 0) this.#primary = only;
  }

  async connect(): Promise<LedgerSession> {
    const first = this.#primary ?? (await this.#search());
    try {
      return await this.#session(first);
    } catch (error) {
      // All connections in use: another host has none for us either.
      if (this.#pools.length === 1 || isExhausted(first)) throw error;
      return await this.#session(await this.#search());
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end()));
  }

  async #session(pool: pg.Pool): Promise<LedgerSession> {
    for (;;) {
      const client = await connected(pool);
      const known = this.#known.get(client);
      if (known === undefined) return await this.#admit(client);
      if (known.era === this.#era) return known.session;
      known.session.discard();
    }
  }

  /** Looks at a new connection before anything else uses it. */
  async #admit(client: pg.PoolClient): Promise<LedgerSession> {
    const session = new LedgerSession(client, () => this.#newEra());
    await session.demandPrimary();
    if (session.timeline < this.#newestTimeline) {
      session.discard();
      throw new LedgerUnreachable('This server is an old primary: another was promoted since.');
    }
    if (session.timeline > this.#newestTimeline) {
      if (this.#newestTimeline > 0) this.#newEra();
      this.#newestTimeline = session.timeline;
    }
    this.#known.set(client, { session, era: this.#era });
    return session;
  }

  /** Every connection that is open now is looked at anew: it is replaced when it is asked for. */
  #newEra(): void {
    this.#era += 1;
    this.#log.warn({}, 'the primary of the ledger has changed, or is read-only');
  }

  /** Callers that come meanwhile share one search. */
  #search(): Promise<pg.Pool> {
    this.#searching ??= this.#findPrimary().finally(() => {
      this.#searching = undefined;
    });
    return this.#searching;
  }

  /** Asks all hosts: of two that take themselves for the primary the one promoted last is. */
  async #findPrimary(): Promise<pg.Pool> {
    const asked = await Promise.allSettled(
      this.#pools.map(async (pool) => {
        const session = await this.#session(pool);
        session.release();
        return { pool, timeline: session.timeline };
      }),
    );
    const [first, ...others] = asked.flatMap((one) =>
      one.status === 'fulfilled' ? [one.value] : [],
    );
    if (first === undefined) {
      this.#primary = undefined;
      throw new LedgerUnreachable(
        'None of the hosts of the ledger is a primary that can be reached.',
      );
    }
    const newest = others.reduce((best, one) => (one.timeline > best.timeline ? one : best), first);
    this.#primary = newest.pool;
    return newest.pool;
  }
}

async function connected(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    const { error: translated } = translateError(error);
    if (translated instanceof LedgerUnreachable) throw translated;
    throw new LedgerUnreachable('The ledger cannot be reached.');
  }
}

function isExhausted(pool: pg.Pool): boolean {
  return pool.totalCount >= (pool.options.max ?? Infinity) && pool.idleCount === 0;
}
