import { quoteIdentifier } from './quoting.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/** Large objects removed in one call: each takes a lock, and a holder may leave a million. */
const LARGE_OBJECTS_A_CALL = 500;
/** Characters of the server's words that are kept as the reason of a residue. */
const REASON_MAX = 300;

/**
 * Removes what the role owns here, then the role. Without an estate role, nothing that depends on
 * it elsewhere is dropped with it. With one, tables and views go there after everything that could
 * still act or be reached in the holder's name is gone: routines (with triggers and defaults that
 * call them), and grants on what he owned. Answers why the role is still there; null: it is gone.
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
  removed integer := 0;
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
  for thing in select l.oid from pg_largeobject_metadata l
    where l.lomowner = role_oid limit ${LARGE_OBJECTS_A_CALL}
  loop
    perform lo_unlink(thing.oid);
    removed := removed + 1;
  end loop;
  if removed = ${LARGE_OBJECTS_A_CALL} then
    return 'it left many large objects; ' || removed || ' were removed now';
  end if;
  if estate is not null then
    for thing in select p.oid::regprocedure as routine from pg_proc p where p.proowner = role_oid
    loop
      execute format('drop routine if exists %s cascade', thing.routine);
    end loop;
    for thing in
      select distinct c.oid::regclass as relation, c.relkind, a.grantee, g.rolname
        from pg_class c
        cross join lateral (
          select x.grantee from aclexplode(c.relacl) x
          union select y.grantee from pg_attribute t, aclexplode(t.attacl) y where t.attrelid = c.oid
        ) a
        left join pg_roles g on g.oid = a.grantee
        where c.relowner = role_oid and a.grantee <> role_oid
    loop
      execute format('revoke all privileges on %s %s from %s cascade',
        case thing.relkind when 'S' then 'sequence' else 'table' end, thing.relation,
        case thing.grantee when 0 then 'public' else quote_ident(thing.rolname) end);
    end loop;
    execute format('reassign owned by %I to %I', credential, estate);
  end if;
  execute format('drop owned by %I', credential);
  execute format('drop role %I', credential);
  return null;
exception when others then
  get stacked diagnostics detail = pg_exception_detail;
  return left(sqlerrm || coalesce(': ' || nullif(detail, ''), ''), ${REASON_MAX});
end
`,
  };
}
