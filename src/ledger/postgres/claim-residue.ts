import { sql } from 'kysely';
import type { Lease } from '../lease.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** Claims settled leases whose residue is to be tried again, longest due first. */
export async function claimResidue(
  ledger: LedgerDatabase,
  limit: number,
): Promise<readonly Lease[]> {
  const { rows } = await sql<LeaseRow>`
    with due as (
      select l.id from mayfly.lease as l
      where l.state = 'settled' and l.residue is not null
        and l.next_attempt_at <= (select mayfly.ledger_now())
        and (l.claim_until is null or l.claim_until <= (select mayfly.ledger_now()))
      order by l.next_attempt_at limit ${limit} for update skip locked
    ), ${clockAfter('due')}
    update mayfly.lease as l set claim_owner = ${ledger.replica},
      claim_until = clock.now + make_interval(secs => ${ledger.claimSeconds})
    from due, clock where l.id = due.id
    returning ${leaseColumns('l')}`.execute(ledger.db);
  return rows.map(leaseFromRow);
}
