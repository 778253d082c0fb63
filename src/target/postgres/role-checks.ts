import type { CatalogueCheck } from './finding.ts';
import { ADMIN_TIMEOUTS } from './install-roles.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';

export type CheckedRoles = {
  /** The role that owns the routines: the admin itself, or a superuser role without login. */
  readonly owner: string;
  readonly admin: string;
  readonly guard: string;
  readonly prover: string;
  readonly groups: readonly string[];
};

const oid = (role: string) => `to_regrole(${quoteLiteral(quoteIdentifier(role))})`;

/** What OpenBao's admin, the two logins of Mayfly and the groups must and must not be. */
export function roleChecks(roles: CheckedRoles): readonly CatalogueCheck[] {
  return [
    ...groupChecks(roles.groups),
    ...(roles.owner === roles.admin
      ? [mightyAdmin(roles.admin, roles.groups)]
      : [narrowAdmin(roles.admin, roles.groups), superuserOwner(roles.owner)]),
    adminTimeouts(roles.admin),
    loginCheck('guard_login', roles.guard),
    loginCheck('prover_login', roles.prover),
    {
      check: 'reserved_connections',
      severity: 'notice',
      faults: `select 'no connection is reserved for ' || r.name as seen
        from unnest(array[${quoteLiteral(roles.guard)}, ${quoteLiteral(roles.prover)}]) r (name)
        where current_setting('server_version_num')::integer >= 160000
          and not (coalesce(current_setting('reserved_connections', true), '0')::integer > 0
            and exists (select from pg_auth_members m join pg_roles g on g.oid = m.roleid
              where g.rolname = 'pg_use_reserved_connections'
                and m.member = to_regrole(quote_ident(r.name))))`,
      met: 'guard and prover get in when holders use up the other connections',
      remedy:
        'set reserved_connections to the number of replicas times two and restart; until then only the warm connections are sure',
    },
  ];
}

function groupChecks(groups: readonly string[]): readonly CatalogueCheck[] {
  const list = `(select r.* from pg_roles r
    where r.rolname = any (array[${groups.map(quoteLiteral).join(', ')}]::name[]))`;
  return [
    {
      check: 'groups_exist',
      severity: 'broken',
      faults: `select 'group role ' || g.name || ' does not exist' as seen
        from unnest(array[${groups.map(quoteLiteral).join(', ')}]::text[]) g (name)
        where to_regrole(quote_ident(g.name)) is null order by 1`,
      met: 'every group role exists',
      remedy: 'create role <name> nologin, and grant it what its scopes may do',
    },
    {
      check: 'groups_are_plain',
      severity: 'broken',
      faults: `select 'group role ' || g.rolname || ' can log in or has attributes' as seen
        from ${list} g where g.rolcanlogin or g.rolsuper or g.rolcreaterole or g.rolcreatedb
          or g.rolreplication or g.rolbypassrls order by 1`,
      met: 'group roles have no attributes',
      remedy:
        'alter role <name> nologin nosuperuser nocreaterole nocreatedb noreplication nobypassrls',
    },
    {
      check: 'groups_own_nothing',
      severity: 'lowers',
      faults: `select 'group role ' || g.rolname || ' owns ' || count(*) || ' objects' as seen
        from ${list} g join pg_shdepend s on s.refclassid = 'pg_authid'::regclass
          and s.refobjid = g.oid and s.deptype = 'o' group by g.rolname order by 1`,
      met: 'group roles own nothing',
      remedy: 'reassign owned by <name> to a role that is handed to nobody, in every database',
    },
    {
      check: 'groups_create_nothing',
      severity: 'lowers',
      faults: `select 'group role ' || g.rolname || ' may CREATE in schema ' || n.nspname as seen
          from ${list} g, pg_namespace n where has_schema_privilege(g.oid, n.oid, 'CREATE')
        union all select 'group role ' || g.rolname || ' may CREATE in database ' || d.datname
          from ${list} g, pg_database d where has_database_privilege(g.oid, d.oid, 'CREATE')
        order by 1`,
      met: 'group roles hold no CREATE',
      remedy:
        'revoke create on schema <name> from <group>; a scope whose work is to create says creates_in',
    },
    {
      check: 'groups_connect',
      severity: 'broken',
      faults: `select 'group role ' || g.rolname || ' may not CONNECT' as seen from ${list} g
        where not has_database_privilege(g.oid, current_database(), 'CONNECT') order by 1`,
      met: 'group roles may connect to this database',
      remedy: 'run mayfly backend apply, or: grant connect on database <name> to <group>',
    },
  ];
}

/** The admin whose rights the routines have. */
function mightyAdmin(admin: string, groups: readonly string[]): CatalogueCheck {
  return {
    check: 'admin_role',
    severity: 'broken',
    faults: `select ${quoteLiteral(admin)} || ' ' || fault as seen from (
        select 'does not exist' as fault where ${oid(admin)} is null
        union all select 'is a superuser' from pg_roles r where r.oid = ${oid(admin)} and r.rolsuper
        union all select 'lacks CREATEROLE' from pg_roles r
          where r.oid = ${oid(admin)} and not r.rolcreaterole and not r.rolsuper
        union all select 'cannot end sessions' where ${oid(admin)} is not null
          and not pg_has_role(${oid(admin)}, 'pg_signal_backend', 'USAGE')
        union all select 'cannot hand out ' || g.rolname from pg_roles g
          where g.rolname = any (array[${groups.map(quoteLiteral).join(', ')}]::name[])
            and not exists (select from pg_auth_members m where m.roleid = g.oid
              and m.member = ${oid(admin)} and m.admin_option)) f`,
    met: 'the admin role can make and end credentials, and no more',
    remedy: 'run mayfly backend apply',
  };
}

/** The admin that may only call routines. */
function narrowAdmin(admin: string, groups: readonly string[]): CatalogueCheck {
  return {
    check: 'admin_role',
    severity: 'broken',
    faults: `select ${quoteLiteral(admin)} || ' ' || fault as seen from (
        select 'does not exist' as fault where ${oid(admin)} is null
        union all select 'has attributes that it does not need' from pg_roles r
          where r.oid = ${oid(admin)} and (r.rolsuper or r.rolcreaterole or r.rolcreatedb
            or r.rolreplication or r.rolbypassrls)
        union all select 'is a member of ' || g.rolname from pg_auth_members m
          join pg_roles g on g.oid = m.roleid where m.member = ${oid(admin)}
            and g.rolname = any (array[${['pg_signal_backend', ...groups].map(quoteLiteral).join(', ')}]::name[])) f`,
    met: 'the admin role can call for credentials, and no more',
    remedy: 'run mayfly backend apply',
  };
}

/** Its rights are everybody's who can become it. */
function superuserOwner(owner: string): CatalogueCheck {
  return {
    check: 'routines_owner',
    severity: 'broken',
    faults: `select ${quoteLiteral(owner)} || ' ' || fault as seen from (
        select 'does not exist' as fault where ${oid(owner)} is null
        union all select 'is not a superuser' from pg_roles r
          where r.oid = ${oid(owner)} and not r.rolsuper
        union all select 'can log in' from pg_roles r where r.oid = ${oid(owner)} and r.rolcanlogin
        union all select 'has the member ' || g.rolname from pg_auth_members m
          join pg_roles g on g.oid = m.member where m.roleid = ${oid(owner)}) f`,
    met: 'the routines’ owner can do what they do, and nobody can become it',
    remedy: 'run mayfly backend apply; revoke the role from the members that are named',
  };
}

function adminTimeouts(admin: string): CatalogueCheck {
  const wanted = Object.entries(ADMIN_TIMEOUTS).map(([name, value]) => `${name}=${value}`);
  return {
    check: 'admin_timeouts',
    severity: 'lowers',
    faults: `select ${quoteLiteral(admin)} || ' lacks ' || w.setting as seen
      from unnest(array[${wanted.map(quoteLiteral).join(', ')}]) w (setting)
      where not exists (select from pg_db_role_setting s where s.setrole = ${oid(admin)}
        and s.setdatabase = 0 and w.setting = any (s.setconfig)) order by 1`,
    met: 'a stopped OpenBao loses its half-made users after seconds',
    remedy: 'run mayfly backend apply, or set them with: alter role <admin> set <name> = <value>',
  };
}

/** Such a login is of use to a thief only as far as its own few functions go. */
function loginCheck(check: string, login: string): CatalogueCheck {
  return {
    check,
    severity: 'broken',
    faults: `select ${quoteLiteral(login)} || ' ' || fault as seen from (
        select 'does not exist' as fault where ${oid(login)} is null
        union all select 'has attributes that it does not need' from pg_roles r
          where r.oid = ${oid(login)} and (r.rolsuper or r.rolcreaterole or r.rolcreatedb
            or r.rolreplication or r.rolbypassrls)
        union all select 'is a member of ' || g.rolname from pg_auth_members m
          join pg_roles g on g.oid = m.roleid
          where m.member = ${oid(login)}
            and g.rolname not in ('pg_use_reserved_connections', 'pg_monitor')) f`,
    met: 'it has its own few rights and no others',
    remedy: 'run mayfly backend apply; revoke what is named from the login',
  };
}
