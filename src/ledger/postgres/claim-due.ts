import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Lease } from '../lease.ts';
import type { DueWork, EndedBy } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import { ENDED_BY, TARGET_OF, TO_END, TO_SETTLE } from './due-work.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

const DEADLINE_BODY = canonicalJson({ by: 'mayfly', cause: 'deadline' });
const MINT_LOST_BODY = canonicalJson({ by: 'mayfly', cause: 'mint_lost' });

/**
 * Leases that are looked at for one that is claimed: so many replicas at once each find a full
 * batch of their own beside those that the others have locked.
 */
const LOOKED_AT_FOR_ONE = 4;

/**
 * Claims what is due at one target. To end: by the turn of its agents, each agent's longest due
 * first, so that nobody's one lease waits behind another's ten thousand. To settle: longest due
 * first. Rows that somebody else has locked are skipped: whoever that is is at work on them.
 */
export async function claimDue(
  ledger: LedgerDatabase,
  work: DueWork,
  target: string,
  limit: number,
  endedBy?: EndedBy,
): Promise<readonly Lease[]> {
  const candidates = work === 'end' ? byTurn(target, limit, endedBy) : byAge(target, limit);
  const { rows } = await sql<LeaseRow>`
    with recursive ${candidates}, due as (
      -- One after the other, in their order, and no more than are claimed.
      select locked.* from candidate as c, lateral (
        select l.id, l.state, l.state in ('minting', 'active') as open, l.mint_deadline
        from mayfly.lease as l
        where l.id = c.id and l.due_at <= (select mayfly.ledger_now())
          and ${work === 'end' ? TO_END : TO_SETTLE}
        for update skip locked) as locked
      limit ${limit}
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

/**
 * One probe of the index finds each agent that has leases here, however many it has; each that has
 * something due gives as many as every other, and those that have less leave room for the rest.
 */
function byTurn(target: string, limit: number, endedBy?: EndedBy): RawBuilder<unknown> {
  const wanted = endedBy === undefined ? sql`` : sql`and ${ENDED_BY[endedBy]}`;
  // Agents of whom none is wanted take no share.
  const hasWanted =
    endedBy === undefined
      ? sql``
      : sql`and exists (select from mayfly.lease as l
          where ${TARGET_OF} = ${target} and ${TO_END} and l.agent_id = a.agent_id
            and l.due_at <= (select mayfly.ledger_now()) ${wanted})`;
  return sql`
    agent as (
      (select l.agent_id, l.due_at from mayfly.lease as l
        where ${TARGET_OF} = ${target} and ${TO_END} order by l.agent_id, l.due_at limit 1)
      union all
      select next.agent_id, next.due_at from agent as a, lateral (
        select l.agent_id, l.due_at from mayfly.lease as l
        where ${TARGET_OF} = ${target} and ${TO_END} and l.agent_id > a.agent_id
        order by l.agent_id, l.due_at limit 1) as next
    ), waiting as (
      select a.agent_id from agent as a where a.due_at <= (select mayfly.ledger_now()) ${hasWanted}
    ), share as (
      select ceil(${LOOKED_AT_FOR_ONE} * ${limit}::int / greatest(count(*), 1)::numeric) as each
      from waiting
    ), candidate as materialized (
      select first.id from waiting as w, share as s, lateral (
        select l.id, l.due_at, row_number() over (order by l.due_at) as turn
        from mayfly.lease as l
        where ${TARGET_OF} = ${target} and ${TO_END} and l.agent_id = w.agent_id
          and l.due_at <= (select mayfly.ledger_now()) ${wanted}
        order by l.due_at limit s.each) as first
      order by first.turn, first.due_at
    )`;
}

function byAge(target: string, limit: number): RawBuilder<unknown> {
  return sql`
    candidate as materialized (
      select l.id from mayfly.lease as l
      where ${TARGET_OF} = ${target} and ${TO_SETTLE} and l.due_at <= (select mayfly.ledger_now())
      order by l.due_at limit ${LOOKED_AT_FOR_ONE} * ${limit}::int
    )`;
}
