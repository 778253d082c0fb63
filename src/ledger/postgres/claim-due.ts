import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Lease } from '../lease.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

const DEADLINE_BODY = canonicalJson({ by: 'mayfly', cause: 'deadline' });
const MINT_LOST_BODY = canonicalJson({ by: 'mayfly', cause: 'mint_lost' });

/**
 * Claims what is due, longest due first, so that nothing that fails again and again keeps others
 * waiting. Rows that somebody else has locked are skipped: whoever that is is at work on them.
 */
export async function claimDue(ledger: LedgerDatabase, limit: number): Promise<readonly Lease[]> {
  const { rows } = await sql<LeaseRow>`
    with due as (
      select l.id, l.state, l.state in ('minting', 'active') as open, l.mint_deadline
      from mayfly.lease as l
      where l.due_at <= (select mayfly.ledger_now())
      order by l.due_at limit ${limit} for update skip locked
    ), ${clockAfter('due')}, claimed as (
      update mayfly.lease as l set
        state = case when due.open then 'revoking' else l.state end,
        fenced_at = case when due.open then clock.now else l.fenced_at end,
        next_attempt_at = case when due.open then clock.now else l.next_attempt_at end,
        end_cause = case
          when due.state = 'minting' and due.mint_deadline <= clock.now then 'mint_lost'
          when due.open then 'deadline'
          else l.end_cause end,
        claim_owner = ${ledger.replica},
        claim_until = clock.now + make_interval(secs => ${ledger.claimSeconds})
      from due, clock
      where l.id = due.id
      returning ${leaseColumns('l')}, due.open as fenced_now
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', c.agent_id, c.task_id, c.id,
        case c.end_cause when 'mint_lost' then ${MINT_LOST_BODY} else ${DEADLINE_BODY} end
      from claimed as c, clock where c.fenced_now
    )
    select ${leaseColumns('claimed')} from claimed order by deadline, id`.execute(ledger.db);
  return rows.map(leaseFromRow);
}
