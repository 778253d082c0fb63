import { quoteIdentifier } from './quoting.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/**
 * Leftovers removed in one call: large objects, routines, and relations that lose their grants. Each
 * may take a lock, and a holder may leave a million.
 */
const LEFTOVERS_A_CALL = 500;
/**
 * Milliseconds that all names of a call have for their leftovers together, and that each has however
 * late it comes: a full batch of them stays well below what one call may take.
 */
const LEFTOVERS_BUDGET_MS = 1_000;
const LEFTOVERS_SHARE_MS = 50;
/** Characters of the server's words that are kept as the reason of a residue. */
const REASON_MAX = 300;

/** At each leftover: answers what there is more of when it is enough for now, so that it is kept. */
const goOnOrStopAt = (what: string) => `
    if removed >= ${LEFTOVERS_A_CALL} or (removed > 0 and clock_timestamp() > until) then
      return 'it left many ${what}; ' || removed || ' leftovers were removed now';
    end if;
    removed := removed + 1;`;

/** One statement for all that a relation is granted to: each costs far more than a grantee. */
const GRANTS = `for thing in
      select a.relation::regclass, a.relkind,
          string_agg(coalesce(quote_ident(g.rolname), 'public'), ', ') as grantees
        from (
          select c.oid as relation, c.relkind, x.grantee from pg_class c, aclexplode(c.relacl) x
            where c.relowner = role_oid
          union select c.oid, c.relkind, y.grantee
            from pg_class c, pg_attribute t, aclexplode(t.attacl) y
            where c.relowner = role_oid and t.attrelid = c.oid
        ) a
        left join pg_roles g on g.oid = a.grantee
        where a.grantee <> role_oid and (a.grantee = 0 or g.oid is not null)
        group by a.relation, a.relkind
    loop${goOnOrStopAt('grants')}
      execute format('revoke all privileges on %s %s from %s cascade',
        case thing.relkind when 'S' then 'sequence' else 'table' end, thing.relation,
        thing.grantees);
    end loop;`;

/**
 * Removes what the role owns here, then the role. Without an estate role, nothing that depends on
 * it elsewhere is dropped with it. With one, tables and views go there after everything that could
 * still act or be reached in the holder's name is gone: routines (with triggers and defaults that
 * call them), and grants on what he owned. Answers why the role is still there; null: it is gone. It
 * stops where there is too much for one call, also at a statement that takes longer than a call may:
 * the role is shut by then, and the call has others to answer for.
 */
export function leftoversRoutine(installation: string): Routine {
  const schema = quoteIdentifier(schemaOf(installation));
  return {
    kind: 'function',
    name: 'leftovers',
    declared: 'credential text, role_oid oid',
    identity: 'text, oid',
    returns: 'text',
    definer: false,
    settings: [],
    for: 'owner',
    body: `
declare
  estate name;
  thing record;
  routine text;
  removed integer := 0;
  -- The transaction began with the first name's turn for this step.
  until timestamptz := greatest(now() + interval '${LEFTOVERS_BUDGET_MS} ms',
    clock_timestamp() + interval '${LEFTOVERS_SHARE_MS} ms');
  detail text;
begin
  -- The name's own, since the group may be another by now, or gone. An older make did not write it.
  select coalesce(n.estate, g.estate) into estate from ${schema}.name n
    left join ${schema}.allowed_group g on g.group_name = n.group_name where n.name = credential;
  if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
    execute format('grant %I to %I', credential, current_user)
      || case when current_setting('server_version_num')::integer >= 160000
           then ' with inherit true, set false' else '' end;
  end if;
  for thing in select l.oid from pg_largeobject_metadata l where l.lomowner = role_oid
  loop${goOnOrStopAt('large objects')}
    perform lo_unlink(thing.oid);
  end loop;
  if estate is not null then
    for thing in select p.oid from pg_proc p where p.proowner = role_oid
    loop${goOnOrStopAt('routines')}
      -- It may have gone with the one before.
      select p.oid::regprocedure into routine from pg_proc p where p.oid = thing.oid;
      continue when not found;
      execute format('drop routine %s cascade', routine);
    end loop;
    ${GRANTS}
    execute format('reassign owned by %I to %I', credential, estate);
  end if;
  execute format('drop owned by %I', credential);
  execute format('drop role %I', credential);
  return null;
exception when query_canceled or others then
  get stacked diagnostics detail = pg_exception_detail;
  return left(sqlerrm || coalesce(': ' || nullif(detail, ''), ''), ${REASON_MAX});
end
`,
  };
}
