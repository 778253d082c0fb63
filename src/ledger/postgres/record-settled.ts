import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Lease } from '../lease.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** Seconds after which residue is tried again for the first time. */
const RESIDUE_FIRST_RETRY_SECONDS = 60;

/** One statement for all; the claim ends with it. */
export async function recordSettled(
  ledger: LedgerDatabase,
  leaseIds: readonly string[],
  note: string,
): Promise<readonly Lease[]> {
  if (leaseIds.length === 0) return [];
  const { rows } = await sql<LeaseRow>`
    with settling as (
      select l.id from mayfly.lease as l
      where l.id = any(${leaseIds}::uuid[]) and l.state = 'revoked' order by l.id for update
    ), ${clockAfter('settling')}, settled as (
      update mayfly.lease as l set
        state = 'settled', settled_at = clock.now, claim_owner = null, claim_until = null,
        attempts = 0, late_reason = null,
        next_attempt_at = case when l.residue is not null
          then clock.now + make_interval(secs => ${RESIDUE_FIRST_RETRY_SECONDS}) end
      from settling as s, clock where l.id = s.id
      returning ${leaseColumns('l')}
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.settled', s.agent_id, s.task_id, s.id,
        ${canonicalJson({ note })}
      from settled as s, clock
    )
    select ${leaseColumns('settled')} from settled order by id`.execute(ledger.db);
  return rows.map(leaseFromRow);
}
