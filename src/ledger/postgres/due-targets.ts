import { sql } from 'kysely';
import type { DueTarget } from '../ledger.ts';
import { ENDED_BY, TARGET_OF, TO_END, TO_SETTLE } from './due-work.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * Seconds. What is not dead though due can be claimed, is claimed, or waits for its next attempt: its
 * turn comes within this. Longer than a claim (20 s) and than a pause between attempts (10 s).
 */
const TURN_WITHIN_SECONDS = 30;

type Row = {
  readonly target: string;
  readonly backlog: number;
  readonly to_prove: boolean;
  readonly to_end: boolean;
  readonly to_settle: boolean;
};

/**
 * What waits at which target. Each agent at each target is found by one probe of the index, and no
 * more than `countUpTo` leases of a target are counted, however many are due.
 */
export async function dueTargets(
  ledger: LedgerDatabase,
  countUpTo: number,
): Promise<readonly DueTarget[]> {
  const { rows } = await sql<Row>`
    with recursive clock as materialized (select mayfly.ledger_now() as now),
    agent as (
      (select ${TARGET_OF} as target, l.agent_id, l.due_at from mayfly.lease as l
        where ${TO_END} order by ${TARGET_OF}, l.agent_id, l.due_at limit 1)
      union all
      select next.target, next.agent_id, next.due_at from agent as a, lateral (
        select ${TARGET_OF} as target, l.agent_id, l.due_at from mayfly.lease as l
        where ${TO_END} and (${TARGET_OF}, l.agent_id) > (a.target, a.agent_id)
        order by ${TARGET_OF}, l.agent_id, l.due_at limit 1) as next
    ), settling as (
      (select ${TARGET_OF} as target, l.due_at from mayfly.lease as l
        where ${TO_SETTLE} order by ${TARGET_OF}, l.due_at limit 1)
      union all
      select next.target, next.due_at from settling as s, lateral (
        select ${TARGET_OF} as target, l.due_at from mayfly.lease as l
        where ${TO_SETTLE} and ${TARGET_OF} > s.target
        order by ${TARGET_OF}, l.due_at limit 1) as next
    ), ending as (
      select a.target, bool_or(a.due_at <= clock.now) as due from agent as a, clock
      where a.due_at <= clock.now + make_interval(secs => ${TURN_WITHIN_SECONDS})
      group by a.target
    ), backlog as (
      select e.target, e.due, counted.undead, counted.to_prove from ending as e, lateral (
        select count(*)::int as undead, bool_or(one.by_guard) as to_prove from (
          select undead.by_guard from clock, agent as a, lateral (
            select ${ENDED_BY.guard} as by_guard from mayfly.lease as l
            where ${TARGET_OF} = e.target and ${TO_END} and l.agent_id = a.agent_id
              and l.due_at <= clock.now + make_interval(secs => ${TURN_WITHIN_SECONDS})
              and (l.state = 'revoking' or l.due_at <= clock.now)) as undead
          where a.target = e.target limit ${countUpTo}::int) as one) as counted
    )
    select target, sum(undead)::int as backlog, coalesce(bool_or(to_prove), false) as to_prove,
      bool_or(to_end) as to_end, bool_or(to_settle) as to_settle
    from (
      select b.target, b.undead, b.to_prove, b.due as to_end, false as to_settle from backlog as b
      union all
      select s.target, 0, false, false, s.due_at <= clock.now from settling as s, clock
    ) as side
    group by target having bool_or(to_end or to_settle) or sum(undead) > 0
    order by target`.execute(ledger.db);
  return rows.map(({ target, backlog, to_prove, to_end, to_settle }) => ({
    target,
    backlog,
    toProve: to_prove,
    toEnd: to_end,
    toSettle: to_settle,
  }));
}
