import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { NewAuditEvent } from '../lease.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** A repetition with the same id changes nothing. */
export async function recordDenial(ledger: LedgerDatabase, event: NewAuditEvent): Promise<void> {
  await sql`
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
    values (${event.id}, mayfly.ledger_now(), ${event.kind}, ${event.agentId}, ${event.taskId},
      ${event.leaseId}, ${canonicalJson(event.body)})
    on conflict (id) do nothing`.execute(ledger.db);
}
