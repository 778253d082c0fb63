import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Json } from '../../foundation/canonical-json.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** Only an event: the lease stays closed, the guard has ended what was found. */
export async function recordResurrected(
  ledger: LedgerDatabase,
  leaseId: string,
  detail: Json,
): Promise<void> {
  await sql`
    with clock as materialized (select mayfly.ledger_now() as now)
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
    select mayfly.event_id(clock.now), clock.now, 'lease.resurrected', l.agent_id, l.task_id, l.id,
      ${canonicalJson({ detail })}
    from mayfly.lease as l, clock where l.id = ${leaseId}`.execute(ledger.db);
}
