import type { CatalogueCheck } from './finding.ts';

/** Milliseconds that ledger and target may differ: deadlines are whole seconds. */
export const CLOCK_SKEW_MAX_MS = 1_000;
/** The first version whose PUBLIC cannot create in schema `public` by default. */
const OLDEST_VERSION = 150_000;

/** Extensions by which a holder can leave something running, or go on elsewhere. */
const OUTLIVING = ['pg_cron', 'dblink', 'postgres_fdw', 'file_fdw', 'pg_background'];

/** What the cluster and the database must be, whoever uses them. */
export function clusterChecks(declaredReplicas: number): readonly CatalogueCheck[] {
  return [...SERVER, ...PUBLIC_RIGHTS, ...SURROUNDINGS, endpoints(declaredReplicas)];
}

const SERVER: readonly CatalogueCheck[] = [
  {
    check: 'server_version',
    severity: 'broken',
    faults: `select 'PostgreSQL ' || current_setting('server_version') as seen
        where current_setting('server_version_num')::integer < ${OLDEST_VERSION}`,
    met: 'PostgreSQL 15 or later',
    remedy: 'upgrade the target to PostgreSQL 15 or later',
  },
  {
    check: 'primary',
    severity: 'broken',
    faults: `select 'this server is a standby' as seen where pg_is_in_recovery()`,
    met: 'this server is not a standby',
    remedy: "point the target's address at the primary: a standby knows nothing of its sessions",
  },
  {
    check: 'prepared_transactions',
    severity: 'lowers',
    faults: `select 'max_prepared_transactions is ' || setting as seen from pg_settings
        where name = 'max_prepared_transactions' and setting <> '0'`,
    met: 'no transaction can outlive its session',
    remedy:
      'set max_prepared_transactions = 0 and restart: a prepared one keeps its locks for ever',
  },
  {
    check: 'password_encryption',
    severity: 'broken',
    faults: `select 'password_encryption is ' || current_setting('password_encryption') as seen
        where current_setting('password_encryption') <> 'scram-sha-256'`,
    met: 'passwords are kept as SCRAM verifiers',
    remedy: "set password_encryption = 'scram-sha-256'",
  },
];

const PUBLIC_RIGHTS: readonly CatalogueCheck[] = [
  {
    check: 'public_connect',
    severity: 'lowers',
    faults: `select 'PUBLIC may CONNECT to database ' || d.datname as seen from pg_database d
        where d.datallowconn and exists (select
          from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
          where a.grantee = 0 and a.privilege_type = 'CONNECT') order by 1`,
    met: 'no database of the cluster lets PUBLIC connect',
    remedy:
      'grant CONNECT to the roles that need it, then: revoke connect on database <name> from public',
  },
  {
    check: 'public_temporary',
    severity: 'notice',
    faults: `select 'PUBLIC may make temporary tables in database ' || d.datname as seen
        from pg_database d where d.datname = current_database() and exists (select
          from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
          where a.grantee = 0 and a.privilege_type = 'TEMPORARY')`,
    met: 'PUBLIC cannot make temporary tables',
    remedy: 'revoke temporary on database <name> from public',
  },
  {
    check: 'public_create',
    severity: 'lowers',
    faults: `select 'PUBLIC may CREATE in schema ' || n.nspname as seen from pg_namespace n
        where exists (select from aclexplode(n.nspacl) a
          where a.grantee = 0 and a.privilege_type = 'CREATE') order by 1`,
    met: 'PUBLIC can create in no schema',
    remedy: 'revoke create on schema <name> from public',
  },
];

const SURROUNDINGS: readonly CatalogueCheck[] = [
  {
    check: 'event_triggers',
    severity: 'notice',
    faults: `select 'event trigger ' || evtname || ' on ' || evtevent as seen
        from pg_event_trigger where evtenabled <> 'D' order by 1`,
    met: 'no event trigger can get in the way',
    remedy:
      'make sure that it lets DROP OWNED, REASSIGN OWNED, GRANT and REVOKE by the admin role pass; the rehearsal tries it',
  },
  {
    check: 'ways_to_outlive_a_session',
    severity: 'notice',
    faults: `select 'extension ' || extname as seen from pg_extension
        where extname in (${OUTLIVING.map((name) => `'${name}'`).join(', ')})
        union all select 'foreign server ' || srvname from pg_foreign_server order by 1`,
    met: 'no extension is known to leave something running',
    remedy: 'make sure that no group can use it (revoke USAGE and EXECUTE from public), or drop it',
  },
];

function endpoints(declaredReplicas: number): CatalogueCheck {
  return {
    check: 'endpoints',
    severity: 'lowers',
    faults: `select count(*) || ' replicas or other receivers of the log are connected, ${declaredReplicas} declared' as seen
        from pg_stat_get_wal_senders() having count(*) > ${declaredReplicas}`,
    met: 'no replica is connected that the target does not declare',
    remedy: "list every replica and pooler under the target's endpoints: sessions live there too",
  };
}
