import { sql } from 'kysely';
import type { AlarmBounds, LateTarget } from '../ledger.ts';
import { TARGET_OF, TO_END, TO_SETTLE } from './due-work.ts';
import type { LedgerDatabase } from './ledger-database.ts';

type Row = {
  readonly target: string;
  readonly not_dead: number;
  readonly not_settled: number;
  readonly reason: string | null;
};

/** By target; the reason is that of the lease that was tried most often. */
export async function lateTargets(
  ledger: LedgerDatabase,
  alarms: AlarmBounds,
  limit: number,
): Promise<readonly LateTarget[]> {
  const { rows } = await sql<Row>`
    with clock as materialized (select mayfly.ledger_now() as now),
    late as (
      select ${TARGET_OF} as target, l.state, l.late_reason, l.attempts
      from mayfly.lease as l, clock where ${TO_END}
        and least(l.deadline, l.fenced_at) < clock.now - make_interval(secs => ${alarms.notDeadSeconds})
      union all
      select ${TARGET_OF}, l.state, l.late_reason, l.attempts
      from mayfly.lease as l, clock where ${TO_SETTLE}
        and l.revoked_at < clock.now - make_interval(secs => ${alarms.notSettledSeconds})
    )
    select target,
      count(*) filter (where state <> 'revoked')::integer as not_dead,
      count(*) filter (where state = 'revoked')::integer as not_settled,
      (array_agg(late_reason order by attempts desc) filter (where late_reason is not null))[1]
        as reason
    from late group by target order by count(*) desc, target limit ${limit}`.execute(ledger.db);
  return rows.map(({ target, not_dead, not_settled, reason }) => ({
    target,
    notDeadInTime: not_dead,
    notSettled: not_settled,
    reason,
  }));
}
