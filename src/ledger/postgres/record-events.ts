import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { NewAuditEvent } from '../lease.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** One statement for all; a repetition with the same ids changes nothing. */
export async function recordEvents(
  ledger: LedgerDatabase,
  events: readonly NewAuditEvent[],
): Promise<void> {
  if (events.length === 0) return;
  await sql`
    with clock as materialized (select mayfly.ledger_now() as now)
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
    select e.id, clock.now, e.kind, e.agent_id, e.task_id, e.lease_id, e.body
    from clock, unnest(
      ${events.map(({ id }) => id)}::uuid[], ${events.map(({ kind }) => kind)}::text[],
      ${events.map(({ agentId }) => agentId)}::text[],
      ${events.map(({ taskId }) => taskId)}::uuid[],
      ${events.map(({ leaseId }) => leaseId)}::uuid[],
      ${events.map(({ body }) => canonicalJson(body))}::text[]
    ) as e (id, kind, agent_id, task_id, lease_id, body)
    on conflict (id) do nothing`.execute(ledger.db);
}
