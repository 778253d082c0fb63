import { sql } from 'kysely';
import type { Task } from '../lease.ts';
import type { Page, TaskFilter } from '../ledger.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { LedgerDatabase } from './ledger-database.ts';
import { TASK_COLUMNS, taskFromRow } from './task-row.ts';

/** Newest first. A task past its deadline counts as ended, marked or not. */
export async function listTasks(
  ledger: LedgerDatabase,
  filter: TaskFilter,
  limit: number,
  cursor: string | null,
): Promise<Page<Task>> {
  const { agentId, taskType, identifier, workflow } = filter;
  let query = ledger.db.selectFrom('mayfly.task').select(TASK_COLUMNS);
  if (agentId !== undefined) query = query.where('agent_id', '=', agentId);
  if (taskType !== undefined) query = query.where('task_type', '=', taskType);
  if (identifier !== undefined) query = query.where('identifier', '=', identifier);
  if (workflow !== undefined) query = query.where('workflow', '=', workflow);
  if (filter.open === true) {
    query = query.where('ended_at', 'is', null).where(sql<boolean>`deadline > mayfly.ledger_now()`);
  }
  if (filter.open === false) {
    query = query.where(sql<boolean>`(ended_at is not null or deadline <= mayfly.ledger_now())`);
  }
  if (cursor !== null) query = query.where('id', '<', decodeCursor(cursor));
  const rows = await query
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  const items = rows.slice(0, limit).map(taskFromRow);
  const last = items.at(-1);
  return { items, cursor: rows.length > limit && last ? encodeCursor(last.id) : null };
}
