import type { AllowedGroup, InstallStep, TargetInstallation } from './installation-plan.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { ownerRoleOf, schemaOf } from './schema-name.ts';

/** A stopped OpenBao must not keep a half-made user, nor wait for one of its own. */
export const ADMIN_TIMEOUTS = {
  idle_in_transaction_session_timeout: '5s',
  lock_timeout: '2s',
  statement_timeout: '5s',
} as const;

/** From this version on, memberships have options of their own. */
export const MEMBERSHIP_OPTIONS_SINCE = 160_000;

/** The role that inherits what holders of one group made; without login, rights or memberships. */
export function estateOf(installation: string, group: AllowedGroup): string | undefined {
  if (group.createsIn === undefined) return undefined;
  // Postgres cuts names at 63 bytes without a word.
  return `${schemaOf(installation)}_estate_${group.name}`.slice(0, 63);
}

/** The logins and their rights; verifiers in place of passwords, by user name. */
export function roleSteps(
  plan: TargetInstallation,
  verifiers: ReadonlyMap<string, string>,
  version: number,
): readonly InstallStep[] {
  const { admin, guard, prover } = plan;
  const modern = version >= MEMBERSHIP_OPTIONS_SINCE;
  return [
    ...(plan.routinesOwner === 'superuser'
      ? superuserOwned(plan, verifiers.get(admin.username), modern)
      : adminOwned(plan, verifiers.get(admin.username), modern)),
    ...Object.entries(ADMIN_TIMEOUTS).map(([name, value]) => setting(admin.username, name, value)),
    login(guard.username, 'nocreaterole', verifiers.get(guard.username)),
    login(prover.username, 'nocreaterole', verifiers.get(prover.username)),
    ...[guard, prover].flatMap(({ username }) =>
      modern ? [membership('pg_use_reserved_connections', username, 'with inherit true')] : [],
    ),
    ...plan.groups.flatMap((group) => estate(plan, group, modern)),
    ...[
      admin.username,
      guard.username,
      prover.username,
      ...plan.groups.map(({ name }) => name),
    ].map((role) => connect(plan.database, role)),
  ];
}

/** Everything is done in the rights of a role that nobody can log in as; the admin may only call. */
function superuserOwned(
  plan: TargetInstallation,
  verifier: string | undefined,
  modern: boolean,
): InstallStep[] {
  const owner = ownerRoleOf(plan.installation);
  return [
    {
      what: `role ${owner}`,
      look: `select case when r.oid is null then 'created'
          when r.rolsuper and not r.rolcanlogin then 'unchanged' else 'changed' end as state
        from (select) one left join pg_roles r on r.rolname = ${quoteLiteral(owner)}`,
      make: [
        `do $do$ begin
          if to_regrole(${quoteLiteral(quoteIdentifier(owner))}) is null then
            create role ${quoteIdentifier(owner)};
          end if;
          alter role ${quoteIdentifier(owner)} superuser nologin;
        end $do$`,
      ],
    },
    login(plan.admin.username, 'nocreaterole', verifier),
    handsOutNothing(plan, modern),
  ];
}

/** What the admin handed out to credentials that live is handed out by the administrator instead. */
function handsOutNothing(plan: TargetInstallation, modern: boolean): InstallStep {
  const admin = plan.admin.username;
  const groups = ['pg_signal_backend', ...plan.groups.map(({ name }) => name)];
  const grants = `select g.rolname as granted, m.rolname as member, b.rolname as grantor
    from pg_auth_members a join pg_roles g on g.oid = a.roleid
    join pg_roles m on m.oid = a.member join pg_roles b on b.oid = a.grantor
    where g.rolname = any (array[${groups.map(quoteLiteral).join(', ')}]::name[])`;
  const [options, by] = modern
    ? [' with inherit true, set false', ` || pg_catalog.format(' granted by %I', held.grantor)`]
    : ['', ''];
  return {
    what: `${admin} hands out nothing itself`,
    look: `select case when exists (${grants} and m.rolname = ${quoteLiteral(admin)})
      then 'changed' else 'unchanged' end as state`,
    make: [
      `do $do$ declare held record; begin
        for held in ${grants} and b.rolname = ${quoteLiteral(admin)} loop
          execute pg_catalog.format('grant %I to %I${options}', held.granted, held.member);
          ${modern ? `execute pg_catalog.format('revoke %I from %I', held.granted, held.member)${by};` : ''}
        end loop;
        for held in ${grants} and m.rolname = ${quoteLiteral(admin)} loop
          execute pg_catalog.format('revoke %I from %I', held.granted, held.member)${by};
        end loop;
      end $do$`,
    ],
  };
}

/** For targets where no administrator may be a superuser, such as managed ones. */
function adminOwned(
  plan: TargetInstallation,
  verifier: string | undefined,
  modern: boolean,
): InstallStep[] {
  const admin = plan.admin.username;
  return [
    login(admin, 'createrole', verifier),
    membership('pg_signal_backend', admin, modern ? 'with inherit true' : ''),
    ...plan.groups.map(({ name }) => adminOption(name, admin, modern)),
  ];
}

function login(username: string, createrole: string, verifier: string | undefined): InstallStep {
  const attributes = `login ${createrole} nosuperuser nocreatedb noreplication nobypassrls inherit`;
  return {
    what: `role ${username}`,
    look: `select case when r.oid is null then 'created' when r.rolcanlogin and r.rolinherit
        and r.rolcreaterole = ${createrole === 'createrole'}
        and not (r.rolsuper or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
      then 'unchanged' else 'changed' end as state
      from (select) one left join pg_roles r on r.rolname = ${quoteLiteral(username)}`,
    make: [
      `do $do$ begin
        if to_regrole(${quoteLiteral(quoteIdentifier(username))}) is null then
          create role ${quoteIdentifier(username)} password ${quoteLiteral(verifier ?? '')} ${attributes};
        else
          alter role ${quoteIdentifier(username)} ${attributesOfExisting(createrole)};
        end if;
      end $do$`,
    ],
  };
}

/** Attributes that only a superuser may mention are left out: on an existing role they are seldom set. */
function attributesOfExisting(createrole: string): string {
  return `login inherit ${createrole}`;
}

function setting(username: string, name: string, value: string): InstallStep {
  return {
    what: `${name} of ${username}`,
    look: `select case when ${quoteLiteral(`${name}=${value}`)} = any (s.setconfig)
      then 'unchanged' else 'changed' end as state from (select) one
      left join pg_db_role_setting s on s.setdatabase = 0
        and s.setrole = to_regrole(${quoteLiteral(quoteIdentifier(username))})`,
    make: [`alter role ${quoteIdentifier(username)} set ${name} = ${quoteLiteral(value)}`],
  };
}

function membership(group: string, member: string, options: string, admin = false): InstallStep {
  return {
    what: `${member} in ${group}${admin ? ' with admin option' : ''}`,
    look: `select case when exists (select from pg_auth_members m
        where m.roleid = to_regrole(${quoteLiteral(quoteIdentifier(group))})
          and m.member = to_regrole(${quoteLiteral(quoteIdentifier(member))})
          ${admin ? 'and m.admin_option' : ''})
      then 'unchanged' else 'created' end as state`,
    make: [`grant ${quoteIdentifier(group)} to ${quoteIdentifier(member)} ${options}`],
  };
}

/** OpenBao's admin hands groups out; on 16 and later without having their rights itself. */
function adminOption(group: string, admin: string, modern: boolean): InstallStep {
  const options = modern ? 'with admin true, inherit false, set false' : 'with admin option';
  return membership(group, admin, options, true);
}

function connect(database: string, role: string): InstallStep {
  return {
    what: `CONNECT on ${database} for ${role}`,
    look: `select case when exists (select from pg_database d, aclexplode(d.datacl) a
        where d.datname = ${quoteLiteral(database)} and a.privilege_type = 'CONNECT'
          and a.grantee = to_regrole(${quoteLiteral(quoteIdentifier(role))}))
      then 'unchanged' else 'created' end as state`,
    make: [`grant connect on database ${quoteIdentifier(database)} to ${quoteIdentifier(role)}`],
  };
}

function estate(
  plan: TargetInstallation,
  group: AllowedGroup,
  modern: boolean,
): readonly InstallStep[] {
  const name = estateOf(plan.installation, group);
  if (name === undefined || group.createsIn === undefined) return [];
  const admin = plan.admin.username;
  const role: InstallStep = {
    what: `role ${name}`,
    look: `select case when to_regrole(${quoteLiteral(quoteIdentifier(name))}) is null
      then 'created' else 'unchanged' end as state`,
    make: [`create role ${quoteIdentifier(name)} nologin`],
  };
  if (plan.routinesOwner === 'superuser') return [role];
  return [
    role,
    membership(name, admin, modern ? 'with inherit true, set true' : ''),
    {
      what: `CREATE in schema ${group.createsIn} for ${admin} to hand out`,
      look: `select case when exists (select from pg_namespace n, aclexplode(n.nspacl) a
          where n.nspname = ${quoteLiteral(group.createsIn)} and a.privilege_type = 'CREATE'
            and a.is_grantable and a.grantee = to_regrole(${quoteLiteral(quoteIdentifier(admin))}))
        then 'unchanged' else 'created' end as state`,
      make: [
        `grant usage, create on schema ${quoteIdentifier(group.createsIn)}
          to ${quoteIdentifier(admin)} with grant option`,
      ],
    },
  ];
}
