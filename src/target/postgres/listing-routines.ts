import { namePattern } from '../credential-name.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT } from './routine.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/** How long a closed name is kept after its deadline, for questions about what happened. */
const KEPT_AFTER_DEADLINE = '1 day';

export function listingRoutines(installation: string): readonly Routine[] {
  return [list(installation), overdue(installation), tidy(installation)];
}

const LISTED =
  'out credential text, out role oid, out can_login boolean, out deadline timestamptz, out registered boolean';

const LISTING = {
  kind: 'function',
  returns: 'setof record',
  definer: true,
  settings: [SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT],
  for: 'guard',
} as const satisfies Partial<Routine>;

/**
 * Roles of this installation, whoever made them, and sessions whose role is gone. The range on the
 * name uses the catalogue's index; `.` is the character after `-`.
 *
 * @param which a condition on the name, of the roles and of the names with sessions alike
 */
function found(installation: string, which: (name: string) => string): string {
  const schema = quoteIdentifier(schemaOf(installation));
  const prefix = `m${installation}`;
  return `
    select found.name, found.oid, found.login,
      to_timestamp((('x' || right(found.name, 8))::bit(32)::bigint)::double precision),
      exists (select from ${schema}.name n where n.name = found.name)
    from (
      select r.rolname::text as name, r.oid,
        r.rolcanlogin and exists (select from pg_database d
          where d.datallowconn and has_database_privilege(r.oid, d.oid, 'CONNECT')) as login
        from pg_roles r
        where r.rolname >= '${prefix}-' and r.rolname < '${prefix}.' and ${which('r.rolname::text')}
          and r.rolname ~ ${quoteLiteral(namePattern(installation))}
      union all
      select n.name, n.role, true from ${schema}.name n
        where n.role in (select s.usesysid from pg_stat_get_activity(null) s)
          and ${which('n.name')} and not exists (select from pg_roles r where r.oid = n.role)
    ) found`;
}

function list(installation: string): Routine {
  return {
    ...LISTING,
    name: 'list',
    declared: LISTED,
    identity: '',
    body: `
begin
  return query ${found(installation, () => 'true')};
end
`,
  };
}

/**
 * Those past their deadline that are alive: able to log in, or logged in. Every replica asks each
 * second, so the hundreds that live their time cost one comparison of text each: the deadline is
 * eight hex digits at the end of the name. What is neither is residue.
 */
function overdue(installation: string): Routine {
  const past = (name: string) => `right(${name}, 8) collate "C" <= now_hex collate "C"`;
  return {
    ...LISTING,
    name: 'overdue',
    declared: `most integer, ${LISTED}`,
    identity: 'integer',
    body: `
declare
  now_hex text := lpad(to_hex(floor(extract(epoch from clock_timestamp()))::bigint), 8, '0');
begin
  return query
    select past.* from (${found(installation, past)}) as past (credential, role, can_login, deadline, registered)
    where past.can_login or past.role in (select s.usesysid from pg_stat_get_activity(null) s)
    order by past.can_login desc, past.deadline limit most;
end
`,
  };
}

/** Forgets names that are long past their deadline and have neither role nor session. */
function tidy(installation: string): Routine {
  const schema = quoteIdentifier(schemaOf(installation));
  return {
    kind: 'function',
    name: 'tidy',
    declared: '',
    identity: '',
    returns: 'bigint',
    definer: true,
    settings: [SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT],
    for: 'guard',
    body: `
declare
  forgotten bigint;
begin
  delete from ${schema}.name n
    where to_timestamp((('x' || right(n.name, 8))::bit(32)::bigint)::double precision)
        < clock_timestamp() - interval '${KEPT_AFTER_DEADLINE}'
      and not exists (select from pg_roles r where r.rolname = n.name or r.oid = n.role)
      and not exists (select from pg_stat_get_activity(null) s where s.usesysid = n.role);
  get diagnostics forgotten = row_count;
  return forgotten;
exception when lock_not_available or deadlock_detected then
  return 0;
end
`,
  };
}
