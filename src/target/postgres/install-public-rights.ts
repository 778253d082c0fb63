import type { InstallStep, TargetInstallation } from './installation-plan.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';

/**
 * What PUBLIC loses. With CONNECT for PUBLIC a holder logs in again after his group is taken from
 * him, and keeps locking his own role's row: two such loops were never ended.
 */
export function publicRightsSteps(
  plan: TargetInstallation,
  otherDatabases: readonly string[],
): readonly InstallStep[] {
  if (plan.narrowPublic === 'none') return [];
  const others = plan.narrowPublic === 'cluster' ? otherDatabases : [];
  return [
    databaseRight(plan.database, 'CONNECT'),
    databaseRight(plan.database, 'TEMPORARY'),
    {
      what: 'no CREATE on schema public for PUBLIC',
      look: `select case when exists (select from pg_namespace n, aclexplode(n.nspacl) a
          where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE')
        then 'changed' else 'unchanged' end as state`,
      make: ['revoke create on schema public from public'],
    },
    ...others.map((database) => databaseRight(database, 'CONNECT')),
  ];
}

function databaseRight(database: string, right: 'CONNECT' | 'TEMPORARY'): InstallStep {
  return {
    what: `no ${right} on database ${database} for PUBLIC`,
    look: `select case when exists (select from pg_database d,
          aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
          where d.datname = ${quoteLiteral(database)} and a.grantee = 0
            and a.privilege_type = ${quoteLiteral(right)})
        then 'changed' else 'unchanged' end as state`,
    make: [`revoke ${right} on database ${quoteIdentifier(database)} from public`],
  };
}
