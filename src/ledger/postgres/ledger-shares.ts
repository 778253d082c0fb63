import type { Clock } from '../../foundation/clock.ts';
import { openTurns } from '../../foundation/turns.ts';
import type { Turns } from '../../foundation/turns.ts';
import { LedgerBusy } from '../ledger.ts';
import type { LedgerPool } from './ledger-pool.ts';

/**
 * Of ten connections, those that exchanges and lists never get: however many of them wait, endings,
 * stops and the sweep find one. The others are everybody's.
 */
const RESERVED_OF_TEN = 4;
/** Of ten connections, those that lists may hold at a time; what is left of the rest is exchanges'. */
const LISTS_OF_TEN = 2;
/**
 * Statements of one row (exchanges of an agent, completions of a task) that are with Postgres at a
 * time. It lets one in after the other: while one holds the row the next stands behind it, and a
 * third would do nothing but keep a connection. Denials of an agent hold no row, but stand in its
 * line: what it is refused for takes no more than what it is granted.
 */
const WITH_ONE_ROW = 2;
/** Milliseconds in line for a turn: as for a free connection, for which it spares the wait. */
const LINE_WAIT_MS = 3_000;
/** In one line at a time: a row lets some 300 a second pass, and whoever comes later would wait in vain. */
const LINE_MAX = 1_000;

export type LedgerShares = { readonly exchanges: LedgerPool; readonly lists: LedgerPool };

/** What exchanges and lists may have of a pool. Of a single connection, as commands use it, all. */
export function sharesOf(pool: LedgerPool, poolSize: number, clock: Clock): LedgerShares {
  const reserved = Math.min(poolSize - 1, atLeastOne((poolSize * RESERVED_OF_TEN) / 10));
  const exchanges = capped(pool, poolSize - reserved, clock);
  // Lists take their turn first: those that wait for it take none of the exchanges' places.
  const lists = capped(exchanges, atLeastOne((poolSize * LISTS_OF_TEN) / 10), clock);
  return { exchanges, lists };
}

function atLeastOne(share: number): number {
  return Math.max(1, Math.floor(share));
}

/** The same connections, but only so many of them at a time. */
function capped(pool: LedgerPool, limit: number, clock: Clock): LedgerPool {
  const turns = openTurns(limit, LINE_WAIT_MS, clock, LINE_MAX);
  return {
    ...pool,
    connect: async () => {
      const done = await turnOf(turns, 'connection');
      try {
        const session = await pool.connect();
        session.onReturn(done);
        return session;
      } catch (error) {
        done();
        throw error;
      }
    },
  };
}

/** Runs work on a row when it is its turn there; rejects where none comes in time. */
export type RowTurns = <Value>(row: string, work: () => Promise<Value>) => Promise<Value>;

export function openRowTurns(clock: Clock): RowTurns {
  const turns = openTurns(WITH_ONE_ROW, LINE_WAIT_MS, clock, LINE_MAX);
  return async (row, work) => {
    const done = await turnOf(turns, row);
    try {
      return await work();
    } finally {
      done();
    }
  };
}

async function turnOf(turns: Turns, key: string): Promise<() => void> {
  const done = await turns.take(key);
  if (done === null) throw new LedgerBusy('Too many wait for the ledger at this replica.');
  return done;
}
