import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Lateness } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * One statement for all. Releases this replica's claim (another's stays). An event is written when
 * a lease becomes late and when its reason changes, so that trying for ever does not fill the
 * record. Attempts overlap: of one that another overtook nothing is left to say.
 */
export async function recordLate(ledger: LedgerDatabase, late: readonly Lateness[]): Promise<void> {
  if (late.length === 0) return;
  await sql`
    with late as (
      select * from jsonb_to_recordset(${JSON.stringify(late.map(lateRow))}::jsonb) as late (
        id uuid, state text, reason text, retry_in_seconds double precision, target_oid bigint, body text)
    ), before as (
      select late.*, l.late_reason from late join mayfly.lease as l on l.id = late.id
      where l.state = late.state order by l.id for update of l
    ), ${clockAfter('before')}, after as (
      update mayfly.lease as l set
        attempts = l.attempts + 1, late_reason = b.reason,
        next_attempt_at = clock.now + make_interval(secs => b.retry_in_seconds),
        target_oid = coalesce(b.target_oid, l.target_oid),
        claim_owner = case when l.claim_owner <> ${ledger.replica} then l.claim_owner end,
        claim_until = case when l.claim_owner <> ${ledger.replica} then l.claim_until end
      from before as b, clock
      where l.id = b.id
      returning l.id, l.agent_id, l.task_id, b.body,
        b.late_reason is distinct from b.reason as changed
    )
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
    select mayfly.event_id(clock.now), clock.now, 'lease.late', a.agent_id, a.task_id, a.id, a.body
    from after as a, clock where a.changed`.execute(ledger.db);
}

function lateRow(late: Lateness): Record<string, unknown> {
  return {
    id: late.leaseId,
    state: late.state,
    reason: late.reason,
    retry_in_seconds: late.retryInMs / 1000,
    target_oid: late.targetOid,
    body: canonicalJson({ reason: late.reason }),
  };
}
