import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { isUuid } from '../../foundation/ids.ts';
import type { Lease } from '../lease.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** One statement. What another replica has claimed is being tried at this moment: it stays so. */
export async function claimAgain(
  ledger: LedgerDatabase,
  leaseId: string,
  by: string,
  reason: string,
): Promise<Lease | null> {
  if (!isUuid(leaseId)) return null;
  const { rows } = await sql<LeaseRow>`
    with before as (
      select ${leaseColumns('l')} from mayfly.lease as l where l.id = ${leaseId} for update
    ), ${clockAfter('before')}, again as (
      update mayfly.lease as l set
        next_attempt_at = clock.now, claim_owner = ${ledger.replica},
        claim_until = clock.now + make_interval(secs => ${ledger.claimSeconds})
      from before as b, clock
      where l.id = b.id
        and (b.state in ('revoking', 'revoked') or (b.state = 'settled' and b.residue is not null))
        and (b.claim_until is null or b.claim_until <= clock.now
          or b.claim_owner = ${ledger.replica})
      returning ${leaseColumns('l')}
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.retried', a.agent_id, a.task_id, a.id,
        ${canonicalJson({ by, reason })}
      from again as a, clock
    )
    select ${leaseColumns('again')} from again
    union all
    select ${leaseColumns('before')} from before where not exists (select from again)`.execute(
    ledger.db,
  );
  const [row] = rows;
  return row === undefined ? null : leaseFromRow(row);
}
