import { anyNamePattern, namePattern } from '../credential-name.ts';
import type { Look, Prover, Suspect } from '../target-access.ts';
import { joinCalls } from './ending-queue.ts';
import { serverExpression } from './finish-routine.ts';
import { quoteLiteral } from './quoting.ts';
import type { WarmConnections } from './warm-connections.ts';

/** Suspects in one look. */
const BATCH_MAX = 100;

type LookRow = {
  name: string;
  role_exists: boolean;
  can_login: boolean;
  sessions: string;
  server: string;
  at: Date;
};

/**
 * Looks by name and by oid: a role that was renamed or made again is still there. Sessions are
 * counted by their user's oid alone, which this login is shown, and which costs less than half of
 * what pg_stat_activity does.
 */
const LOOK = {
  name: 'look',
  text: `
    with sessions as (
      select pg_stat_get_backend_userid(number) as usesysid, count(*) as held
        from pg_stat_get_backend_idset() number group by 1
    ), asked as (
      select * from unnest($1::text[], $2::oid[]) with ordinality as a (name, oid, place)
    ), found as (
      select a.place, r.oid, r.rolcanlogin from asked a join pg_roles r on r.rolname = a.name
      union
      select a.place, r.oid, r.rolcanlogin from asked a join pg_roles r on r.oid = a.oid
    )
    select a.name,
      exists (select from found f where f.place = a.place) as role_exists,
      exists (select from found f, pg_database d where f.place = a.place and f.rolcanlogin
        and d.datallowconn and has_database_privilege(f.oid, d.oid, 'CONNECT')) as can_login,
      coalesce((select sum(s.held) from sessions s where s.usesysid = a.oid
        or s.usesysid in (select f.oid from found f where f.place = a.place)), 0) as sessions,
      ${serverExpression} as server, clock_timestamp() as at
    from asked a order by a.place`,
};

const STRANGERS = {
  name: 'strangers',
  text: `select rolname::text as name from pg_roles
    where rolname ~ ${quoteLiteral(anyNamePattern())} and rolname !~ $1 order by rolname limit $2`,
};

/** The prover over its login's connections; looks are joined while all of them are busy. */
export function postgresProver(
  connections: WarmConnections,
  installation: string,
  lanes: number,
): Prover {
  const own = namePattern(installation);
  const run = async (suspects: readonly Suspect[]): Promise<readonly Look[]> => {
    const rows = await connections.ask<LookRow>(LOOK, [
      suspects.map(({ name }) => name),
      suspects.map(({ oid }) => oid),
    ]);
    return rows.map((row) => ({
      name: row.name,
      roleExists: row.role_exists,
      canLogin: row.can_login,
      sessions: Number(row.sessions),
      server: row.server,
      at: row.at,
    }));
  };
  const queue = joinCalls({
    lanes,
    batchMax: BATCH_MAX,
    keyOf: ({ name, oid }: Suspect) => `${name} ${oid ?? ''}`,
    // A look under way may be from before the ending that it is asked to confirm.
    joinsRunning: false,
    run,
  });
  return {
    look: (suspects) => queue.ask(suspects),
    async strangers(limit) {
      const rows = await connections.ask<{ name: string }>(STRANGERS, [own, limit]);
      return rows.map(({ name }) => name);
    },
  };
}
