import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { isUuid } from '../../foundation/ids.ts';
import type { EndedLease, EndLease } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** One statement; what it fences is claimed by this replica. */
export async function endLease(ledger: LedgerDatabase, end: EndLease): Promise<EndedLease | null> {
  if (!isUuid(end.leaseId)) return null;
  const body = canonicalJson({ by: end.by, cause: end.cause, reason: end.reason });
  const { rows } = await sql<LeaseRow & { fenced_now: boolean }>`
    with before as (
      select ${leaseColumns('l')} from mayfly.lease as l where l.id = ${end.leaseId} for update
    ), ${clockAfter('before')}, fenced as (
      update mayfly.lease as l set
        state = 'revoking', fenced_at = clock.now, end_cause = ${end.cause},
        end_reason = ${end.reason}, next_attempt_at = clock.now, claim_owner = ${ledger.replica},
        claim_until = clock.now + make_interval(secs => ${ledger.claimSeconds})
      from before as b, clock
      where l.id = b.id and b.state in ('minting', 'active')
      returning ${leaseColumns('l')}
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', f.agent_id, f.task_id, f.id, ${body}
      from fenced as f, clock
    )
    select ${leaseColumns('fenced')}, true as fenced_now from fenced
    union all
    select ${leaseColumns('before')}, false from before
    where not exists (select from fenced)`.execute(ledger.db);
  const [row] = rows;
  return row === undefined ? null : { lease: leaseFromRow(row), fencedNow: row.fenced_now };
}
