import { namePattern } from '../credential-name.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT } from './routine.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/** How long a closed name is kept after its deadline, for questions about what happened. */
const KEPT_AFTER_DEADLINE = '1 day';

export function listingRoutines(installation: string): readonly Routine[] {
  return [list(installation), tidy(installation)];
}

/**
 * Roles of this installation, whoever made them, and sessions whose role is gone. The range on the
 * name uses the catalogue's index; `.` is the character after `-`.
 */
function list(installation: string): Routine {
  const schema = quoteIdentifier(schemaOf(installation));
  const prefix = `m${installation}`;
  return {
    kind: 'function',
    name: 'list',
    declared:
      'out credential text, out role oid, out can_login boolean, out deadline timestamptz, out registered boolean',
    identity: '',
    returns: 'setof record',
    definer: true,
    settings: [SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT],
    for: 'guard',
    body: `
begin
  return query
    select found.name, found.oid, found.login,
      to_timestamp((('x' || right(found.name, 8))::bit(32)::bigint)::double precision),
      exists (select from ${schema}.name n where n.name = found.name)
    from (
      select r.rolname::text as name, r.oid,
        r.rolcanlogin and exists (select from pg_database d
          where d.datallowconn and has_database_privilege(r.oid, d.oid, 'CONNECT')) as login
        from pg_roles r
        where r.rolname >= '${prefix}-' and r.rolname < '${prefix}.'
          and r.rolname ~ ${quoteLiteral(namePattern(installation))}
      union all
      select n.name, n.role, true from ${schema}.name n
        where n.role in (select s.usesysid from pg_stat_get_activity(null) s)
          and not exists (select from pg_roles r where r.oid = n.role)
    ) found;
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
