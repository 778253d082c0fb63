import { sql } from 'kysely';
import type { QueryExecutorProvider, RawBuilder } from 'kysely';
import type { ExchangeFacts } from '../ledger.ts';
import { taskBeside, taskColumnsOf } from './task-row.ts';
import type { TaskBeside } from './task-row.ts';

type FactsRow = Omit<TaskBeside, 'of_task_id'> & {
  readonly now: Date;
  readonly open_leases: number;
  readonly recent_leases: number;
  readonly of_task_id: string | null;
};

const TASK = taskColumnsOf('f.task');

/** Reads without locking: for the decision. */
export function readFacts(
  on: QueryExecutorProvider,
  agentId: string,
  identifier: string,
): Promise<ExchangeFacts> {
  return facts(
    on,
    sql<FactsRow>`select f.now, f.open_leases, f.recent_leases, ${TASK}
      from mayfly.exchange_facts(${agentId}, ${identifier}) as f`,
  );
}

/** Locks the agent's row and the open task, then reads what is committed by then. */
export function lockAndReadFacts(
  on: QueryExecutorProvider,
  agentId: string,
  identifier: string,
): Promise<ExchangeFacts> {
  return facts(
    on,
    sql<FactsRow>`select f.now, f.open_leases, f.recent_leases, ${TASK}
      from mayfly.lock_for_exchange(${agentId}, ${identifier}) as f`,
  );
}

async function facts(
  on: QueryExecutorProvider,
  query: RawBuilder<FactsRow>,
): Promise<ExchangeFacts> {
  const { rows } = await query.execute(on);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no facts');
  const { of_task_id } = row;
  return {
    now: row.now,
    openLeases: row.open_leases,
    recentLeases: row.recent_leases,
    task: of_task_id === null ? null : taskBeside({ ...row, of_task_id }),
  };
}
