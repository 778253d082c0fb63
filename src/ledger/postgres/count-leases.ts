import { sql } from 'kysely';
import type { AlarmBounds, LedgerCounts } from '../ledger.ts';
import type { OpenState } from '../lease-states.ts';
import { TO_END, TO_SETTLE } from './due-work.ts';
import type { LedgerDatabase } from './ledger-database.ts';

type CountsRow = Record<OpenState, number> & {
  readonly not_dead: number;
  readonly not_settled: number;
  readonly residue: number;
  readonly now: Date;
};

/**
 * Along the indexes of what may live, of what is not settled and of residues: what is closed is not
 * read, so the alarms cost no more in a ledger of many years.
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
        count(*) filter (where p.state <> 'revoked'
          and least(p.deadline, p.fenced_at)
            < clock.now - make_interval(secs => ${alarms.notDeadSeconds}))::integer as not_dead,
        count(*) filter (where p.state = 'revoked'
          and p.revoked_at < clock.now - make_interval(secs => ${alarms.notSettledSeconds}))::integer
          as not_settled
      from clock left join pending as p on true
    )
    select c.minting, c.active, c.revoking, c.revoked, c.not_dead, c.not_settled, clock.now,
      (select count(*)::integer from mayfly.lease as l
        where l.residue is not null and l.state = 'settled') as residue
    from counted as c, clock`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no counts');
  const { minting, active, revoking, revoked } = row;
  return {
    byState: { minting, active, revoking, revoked },
    notDeadInTime: row.not_dead,
    notSettled: row.not_settled,
    residue: row.residue,
    now: row.now,
  };
}
