import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { clockAfter } from './clock-after.ts';
import type { LedgerDatabase } from './ledger-database.ts';

const TASK_BODY = canonicalJson({ by: 'mayfly', cause: 'timeout' });
const LEASE_BODY = canonicalJson({ by: 'mayfly', cause: 'task_timeout' });
const DEADLINE_BODY = canonicalJson({ by: 'mayfly', cause: 'deadline' });

/** Ends tasks past their deadline, longest ago first, and fences what lives below them. */
export async function endTimedOutTasks(ledger: LedgerDatabase, limit: number): Promise<number> {
  const { rows } = await endingOf(sql`
    select t.id from mayfly.task as t
    where t.ended_at is null and t.deadline <= (select mayfly.ledger_now())
    order by t.deadline limit ${limit} for update skip locked`).execute(ledger.db);
  return rows[0]?.ended ?? 0;
}

/** The same for one task, whose identifier is wanted before the sweep has come to it. */
export function endingTimedOutTask(taskId: string): RawBuilder<{ ended: number }> {
  return endingOf(sql`
    select t.id from mayfly.task as t
    where t.id = ${taskId} and t.ended_at is null and t.deadline <= (select mayfly.ledger_now())
    for update`);
}

/**
 * Ends the tasks that `due` selects and locks, and fences all that lives below them (I6), due at
 * once for whoever comes; where the lease's own deadline has passed too, that is the cause. An
 * exchange that holds a task at the moment makes it wait for the next pass.
 */
function endingOf(due: RawBuilder<unknown>): RawBuilder<{ ended: number }> {
  return sql<{ ended: number }>`
    with due as (${due}),
    ended as (
      update mayfly.task as t set ended_at = t.deadline, end_cause = 'timeout'
      from due where t.id = due.id
      returning t.id, t.agent_id
    ), live as (
      select l.id from mayfly.lease as l join ended on ended.id = l.task_id
      where l.state in ('minting', 'active') order by l.id for update of l
    ), ${clockAfter('live')}, fenced as (
      update mayfly.lease as l set state = 'revoking', fenced_at = clock.now,
        end_cause = case when l.deadline <= clock.now then 'deadline' else 'task_timeout' end,
        next_attempt_at = clock.now, claim_owner = null, claim_until = null
      from live, clock where l.id = live.id
      returning l.id, l.agent_id, l.task_id, l.end_cause
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'task.ended', e.agent_id, e.id, null, ${TASK_BODY}
      from ended as e, clock
      union all
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', f.agent_id, f.task_id, f.id,
        case f.end_cause when 'deadline' then ${DEADLINE_BODY} else ${LEASE_BODY} end
      from fenced as f, clock
    )
    select count(*)::integer as ended from ended`;
}
