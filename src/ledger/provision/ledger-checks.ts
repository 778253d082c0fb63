import { LEDGER_ROLES } from './ledger-roles.ts';
import type { Finding } from './finding.ts';

const { owner, app, reader } = LEDGER_ROLES;
const ALL = `('${owner}', '${app}', '${reader}')`;
const APPLY = 'Run: mayfly backend apply';

/** A question to the catalogues; each row that comes back says what is wrong. */
export type LedgerCheck = Pick<Finding, 'check' | 'severity' | 'remedy'> & {
  /** What is said where nothing is wrong. */
  readonly fine: string;
  /** SQL that answers one column, `problem`. */
  readonly problems: string;
};

/** Postgres 15: the oldest that we run our tests with. */
const OLDEST_SERVER = 150_000;

export const LEDGER_CHECKS: readonly LedgerCheck[] = [
  {
    check: 'ledger_server',
    severity: 'error',
    fine: 'a writable Postgres, 15 or newer',
    remedy: 'Use a supported Postgres, and an address that leads to the primary.',
    problems: `
      select 'server version is ' || current_setting('server_version') as problem
      where current_setting('server_version_num')::integer < ${OLDEST_SERVER}
      union all
      select 'the server is read-only' where current_setting('transaction_read_only') = 'on'`,
  },
  {
    check: 'ledger_durable',
    severity: 'error',
    fine: 'a commit is on disk when it is answered',
    remedy:
      'Set fsync, full_page_writes and synchronous_commit to on: a lost commit is a forgotten lease.',
    problems: `
      select name || ' is ' || setting as problem from pg_catalog.pg_settings
      where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
      union all
      select 'a role or database setting says ' || setting
      from pg_catalog.pg_db_role_setting, unnest(setconfig) as setting
      where setting = 'synchronous_commit=off'`,
  },
  {
    check: 'ledger_roles',
    severity: 'error',
    fine: 'three plain login roles',
    remedy: APPLY,
    problems: `
      select 'role ' || name || ' is missing' as problem
      from unnest(array['${owner}', '${app}', '${reader}']) as name
      where to_regrole(name) is null
      union all
      select 'role ' || rolname || ' has rights of an administrator' from pg_catalog.pg_roles
      where rolname in ${ALL}
        and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)`,
  },
  {
    check: 'ledger_memberships',
    severity: 'error',
    fine: 'no role of the ledger is a member of another role',
    remedy: 'Revoke the membership: revoke <role> from <member>.',
    problems: `
      select m.rolname || ' is a member of ' || r.rolname as problem
      from pg_catalog.pg_auth_members as am
      join pg_catalog.pg_roles as m on m.oid = am.member
      join pg_catalog.pg_roles as r on r.oid = am.roleid
      where m.rolname in ${ALL}`,
  },
  {
    check: 'ledger_audit_append_only',
    severity: 'error',
    fine: 'audit events can be added, not changed or deleted',
    remedy: `Run: mayfly backend apply. Rights that somebody added: revoke update, delete, truncate on mayfly.audit_event from the role.`,
    problems: `
      select a.role || ' may ' || a.privilege_type || ' audit events' as problem
      from pg_catalog.pg_class as c, lateral (
        select coalesce(r.rolname, 'PUBLIC') as role, x.privilege_type
        from pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) as x
        left join pg_catalog.pg_roles as r on r.oid = x.grantee
        where x.grantee <> c.relowner
          and x.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')) as a
      where c.oid = to_regclass('mayfly.audit_event')
      union all
      select 'the trigger that keeps audit events is missing or off'
      where to_regclass('mayfly.audit_event') is not null and not exists (
        select from pg_catalog.pg_trigger where tgrelid = to_regclass('mayfly.audit_event')
          and tgname = 'audit_event_is_final' and tgenabled in ('O', 'A'))`,
  },
  {
    check: 'ledger_app_rights',
    severity: 'error',
    fine: `${app} may do what the broker does`,
    remedy: APPLY,
    problems: `
      select '${app} may not ' || need.what || ' ' || need.relation as problem
      from (values ('insert', 'agent'), ('insert', 'task'), ('insert', 'lease'),
        ('insert', 'audit_event'), ('select', 'audit_event'), ('select', 'installation'),
        ('select', 'schema_migration'), ('delete', 'opening')) as need (what, relation)
      where to_regrole('${app}') is not null and to_regclass('mayfly.' || need.relation) is not null
        and not has_table_privilege('${app}', 'mayfly.' || need.relation, need.what)
      union all
      select '${app} may not change the state of a lease'
      where to_regrole('${app}') is not null and to_regclass('mayfly.lease') is not null
        and not has_column_privilege('${app}', 'mayfly.lease', 'state', 'update')
      union all
      select '${app} may change ' || a.attname || ' of a lease'
      from pg_catalog.pg_attribute as a
      where to_regrole('${app}') is not null and a.attrelid = to_regclass('mayfly.lease')
        and a.attname in ('id', 'task_id', 'agent_id', 'credential_name', 'deadline', 'snapshot')
        and has_column_privilege('${app}', a.attrelid, a.attnum, 'update')`,
  },
  {
    check: 'ledger_owner',
    severity: 'error',
    fine: `everything in the schema belongs to ${owner}`,
    remedy: `Hand it over: reassign owned by <role> to ${owner}.`,
    problems: `
      select c.relname || ' belongs to ' || pg_get_userbyid(c.relowner) as problem
      from pg_catalog.pg_class as c
      where c.relnamespace = to_regnamespace('mayfly') and c.relkind in ('r', 'v', 'S')
        and pg_get_userbyid(c.relowner) <> '${owner}'
      union all
      select 'schema mayfly belongs to ' || pg_get_userbyid(nspowner)
      from pg_catalog.pg_namespace where nspname = 'mayfly' and pg_get_userbyid(nspowner) <> '${owner}'
      union all
      select 'there is no schema mayfly' where to_regnamespace('mayfly') is null`,
  },
  {
    check: 'ledger_public',
    severity: 'error',
    fine: 'PUBLIC has no right here',
    remedy: APPLY,
    problems: `
      select 'PUBLIC has ' || a.privilege_type || ' on the database' as problem
      from pg_catalog.pg_database as d,
        lateral pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) as a
      where d.datname = current_database() and a.grantee = 0
      union all
      select 'PUBLIC may create in schema public'
      from pg_catalog.pg_namespace as n,
        lateral pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) as a
      where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE'
      union all
      select 'PUBLIC has ' || a.privilege_type || ' on ' || c.relname
      from pg_catalog.pg_class as c, lateral pg_catalog.aclexplode(c.relacl) as a
      where c.relnamespace = to_regnamespace('mayfly') and a.grantee = 0`,
  },
  {
    check: 'ledger_tls',
    severity: 'warning',
    fine: 'this connection is encrypted, or on this machine',
    remedy:
      'Use TLS with the authority of the server: sslmode=verify-full and its certificate file.',
    problems: `
      select 'this connection is not encrypted' as problem
      from pg_catalog.pg_stat_ssl as s
      where s.pid = pg_backend_pid() and not s.ssl
        and inet_client_addr() is not null and not inet_client_addr() <<= inet '127.0.0.0/8'
        and inet_client_addr() <> inet '::1'`,
  },
];
