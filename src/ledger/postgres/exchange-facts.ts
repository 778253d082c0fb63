import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { ExchangeFacts } from '../ledger.ts';
import type { Selector } from '../stop.ts';
import type { LedgerDatabase } from './ledger-database.ts';
import { earlierExchange, earlierOf } from './idempotency-keys.ts';
import type { EarlierRow } from './idempotency-keys.ts';
import { taskBeside, taskColumnsOf } from './task-row.ts';
import type { TaskBeside } from './task-row.ts';

type FactsRow = Omit<TaskBeside, 'of_task_id'> & {
  readonly now: Date;
  readonly open_leases: number;
  readonly recent_leases: number;
  readonly quarantined: boolean;
  /** Null where there is none, as nearly always. */
  readonly stops: readonly Selector[] | null;
  readonly of_task_id: string | null;
};

const TASK = taskColumnsOf('f.task');

/** Reads without locking: for the decision. */
export async function readFacts(
  ledger: LedgerDatabase,
  agentId: string,
  identifier: string,
  keySha256?: Buffer,
): Promise<ExchangeFacts> {
  const [{ rows }, earlier] = await Promise.all([
    sql<FactsRow>`
      select f.now, f.open_leases, f.recent_leases, f.quarantined, f.stops, ${TASK}
      from mayfly.exchange_facts(${agentId}, ${identifier}) as f`.execute(ledger.db),
    keySha256 && earlierExchange(agentId, keySha256).execute(ledger.db),
  ]);
  return factsOf(rows, earlier?.rows);
}

/** Locks the agent's row and the open task, then reads what is committed by then. */
export function lockingFacts(agentId: string, identifier: string): RawBuilder<FactsRow> {
  return sql<FactsRow>`
    select f.now, f.open_leases, f.recent_leases, f.quarantined, f.stops, ${TASK}
    from mayfly.lock_for_exchange(${agentId}, ${identifier}) as f`;
}

export function factsOf(
  rows: readonly FactsRow[],
  earlier: readonly EarlierRow[] = [],
): ExchangeFacts {
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no facts');
  const { of_task_id } = row;
  return {
    now: row.now,
    openLeases: row.open_leases,
    recentLeases: row.recent_leases,
    quarantined: row.quarantined,
    stops: row.stops ?? [],
    task: of_task_id === null ? null : taskBeside({ ...row, of_task_id }),
    earlier: earlierOf(earlier),
  };
}
