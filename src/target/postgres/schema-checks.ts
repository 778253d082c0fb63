import type { CatalogueCheck } from './finding.ts';
import { routineLook } from './install-schema.ts';
import { quoteLiteral } from './quoting.ts';
import { schemaOf } from './schema-name.ts';
import { routines } from './schema.ts';

/** The schema of the installation: complete, unaltered, and closed to everybody else. */
export function schemaChecks(
  installation: string,
  {
    owner,
    admin,
    guard,
  }: { readonly owner: string; readonly admin: string; readonly guard: string },
): readonly CatalogueCheck[] {
  const schema = schemaOf(installation);
  const all = routines(installation);
  const allowed = [owner, admin, guard].map(quoteLiteral).join(', ');
  return [
    {
      check: 'schema',
      severity: 'broken',
      faults: all
        .map(
          (routine) =>
            `select ${quoteLiteral(`${routine.kind} ${schema}.${routine.name} is `)}
              || case f.state when 'created' then 'missing' else 'not as it was installed' end as seen
              from (${routineLook(schema, routine, owner)}) f
              where f.state <> 'unchanged'`,
        )
        .join(' union all '),
      met: 'everything that ends credentials is in place',
      remedy: 'run mayfly backend apply',
    },
    {
      check: 'schema_is_closed',
      severity: 'broken',
      faults: `select coalesce(r.rolname, 'PUBLIC') || ' has ' || x.right || ' on ' || x.what as seen from (
          select a.grantee, a.privilege_type as right, 'schema ' || n.nspname as what
            from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = ${quoteLiteral(schema)}
          union all select a.grantee, a.privilege_type, p.oid::regprocedure::text
            from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
              aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            where n.nspname = ${quoteLiteral(schema)}
          union all select a.grantee, a.privilege_type, c.oid::regclass::text
            from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
            where n.nspname = ${quoteLiteral(schema)}) x
        left join pg_roles r on r.oid = x.grantee
        where coalesce(r.rolname, '') not in (${allowed}) order by 1`,
      met: 'nobody but the admin role and the guard can use it',
      remedy: 'revoke what is named, then run mayfly backend apply',
    },
  ];
}
