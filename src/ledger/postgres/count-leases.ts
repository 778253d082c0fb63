import { sql } from 'kysely';
import type { AlarmBounds, LedgerCounts } from '../ledger.ts';
import type { LeaseState } from '../lease-states.ts';
import { TO_END, TO_SETTLE } from './due-work.ts';
import type { LedgerDatabase } from './ledger-database.ts';

type CountsRow = Record<LeaseState, number> & {
  readonly not_dead: number;
  readonly not_settled: number;
  readonly residue: number;
  readonly now: Date;
};

/**
 * Everything that is not closed is counted through the indexes of what lives and of what is not
 * settled; settled ones are what remains of all, which no index on `state` has to be kept for.
 */
export async function countLeases(
  ledger: LedgerDatabase,
  alarms: AlarmBounds,
): Promise<LedgerCounts> {
  const { rows } = await sql<CountsRow>`
    with clock as materialized (select mayfly.ledger_now() as now),
    pending as (
      select l.state, l.deadline, l.fenced_at, l.revoked_at from mayfly.lease as l where ${TO_END}
      union all
      select l.state, l.deadline, l.fenced_at, l.revoked_at from mayfly.lease as l where ${TO_SETTLE}
    ), counted as (
      select
        count(*) filter (where p.state = 'minting')::integer as minting,
        count(*) filter (where p.state = 'active')::integer as active,
        count(*) filter (where p.state = 'revoking')::integer as revoking,
        count(*) filter (where p.state = 'revoked')::integer as revoked,
        count(*)::integer as pending,
        count(*) filter (where p.state <> 'revoked'
          and least(p.deadline, p.fenced_at)
            < clock.now - make_interval(secs => ${alarms.notDeadSeconds}))::integer as not_dead,
        count(*) filter (where p.state = 'revoked'
          and p.revoked_at < clock.now - make_interval(secs => ${alarms.notSettledSeconds}))::integer
          as not_settled
      from clock left join pending as p on true
    ), closed as (
      select (select count(*)::integer from mayfly.lease) as all_leases,
        (select count(*)::integer from mayfly.lease as l where l.state = 'abandoned') as abandoned,
        (select count(*)::integer from mayfly.lease as l
          where l.residue is not null and l.state = 'settled') as residue
    )
    select c.minting, c.active, c.revoking, c.revoked, closed.abandoned,
      closed.all_leases - c.pending - closed.abandoned as settled,
      c.not_dead, c.not_settled, closed.residue, clock.now
    from counted as c, closed, clock`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no counts');
  const { minting, active, revoking, revoked, settled, abandoned } = row;
  return {
    byState: { minting, active, revoking, revoked, settled, abandoned },
    notDeadInTime: row.not_dead,
    notSettled: row.not_settled,
    residue: row.residue,
    now: row.now,
  };
}
