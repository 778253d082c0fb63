import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { clockAfter } from './clock-after.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * The residue of a settled lease after another attempt; null: gone. The claim ends. An event is
 * written only where the residue changed, so that trying for ever does not fill the record.
 */
export async function recordResidue(
  ledger: LedgerDatabase,
  leaseId: string,
  residue: string | null,
  retryInMs: number,
): Promise<void> {
  await sql`
    with before as (
      select l.id, l.residue from mayfly.lease as l
      where l.id = ${leaseId} and l.state = 'settled' and l.residue is not null for update
    ), ${clockAfter('before')}, after as (
      update mayfly.lease as l set
        residue = ${residue}, attempts = l.attempts + 1, claim_owner = null, claim_until = null,
        residue_since = case when ${residue}::text is not null then l.residue_since end,
        next_attempt_at = case when ${residue}::text is not null
          then clock.now + make_interval(secs => ${retryInMs}::double precision / 1000) end
      from before as b, clock where l.id = b.id
      returning l.id, l.agent_id, l.task_id, b.residue is distinct from l.residue as changed
    )
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
    select mayfly.event_id(clock.now), clock.now, 'lease.residue', a.agent_id, a.task_id, a.id,
      ${canonicalJson({ residue })}
    from after as a, clock where a.changed`.execute(ledger.db);
}
