import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { LedgerDatabase } from './ledger-database.ts';

const TASK_BODY = canonicalJson({ by: 'mayfly', cause: 'timeout' });
const LEASE_BODY = canonicalJson({ by: 'mayfly', cause: 'task_timeout' });

/**
 * Ends tasks past their deadline, and fences what of theirs would live on. Leases that are past
 * their own deadline too are left to `claimDue`, which names that cause; an exchange that holds a
 * task at the moment makes it wait for the next pass.
 */
export async function endTimedOutTasks(ledger: LedgerDatabase, limit: number): Promise<number> {
  const { rows } = await sql<{ ended: number }>`
    with clock as materialized (select mayfly.ledger_now() as now),
    due as (
      select t.id from mayfly.task as t
      where t.ended_at is null and t.deadline <= (select now from clock)
      order by t.deadline limit ${limit} for update skip locked
    ), ended as (
      update mayfly.task as t set ended_at = t.deadline, end_cause = 'timeout'
      from due where t.id = due.id
      returning t.id, t.agent_id
    ), live as (
      select l.id from mayfly.lease as l join ended on ended.id = l.task_id, clock
      where l.state in ('minting', 'active') and l.deadline > clock.now order by l.id for update of l
    ), fenced as (
      update mayfly.lease as l set state = 'revoking', fenced_at = clock.now,
        end_cause = 'task_timeout', next_attempt_at = clock.now, claim_owner = null,
        claim_until = null
      from live, clock where l.id = live.id
      returning l.id, l.agent_id, l.task_id
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'task.ended', e.agent_id, e.id, null, ${TASK_BODY}
      from ended as e, clock
      union all
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', f.agent_id, f.task_id, f.id,
        ${LEASE_BODY}
      from fenced as f, clock
    )
    select count(*)::integer as ended from ended`.execute(ledger.db);
  return rows[0]?.ended ?? 0;
}
