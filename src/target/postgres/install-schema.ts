import { estateOf } from './install-roles.ts';
import { ownerOf } from './installation-plan.ts';
import type { AllowedGroup, InstallStep, TargetInstallation } from './installation-plan.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { createRoutine, routineIdentity } from './routine.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';
import { laterColumns, routines, tables } from './schema.ts';
import type { LaterColumn, Table } from './schema.ts';

/** The schema and all in it, with nothing granted to PUBLIC. */
export function schemaSteps(plan: TargetInstallation): readonly InstallStep[] {
  const schema = schemaOf(plan.installation);
  const owner = ownerOf(plan);
  return [
    {
      what: `schema ${schema}`,
      look: ownedLook(
        'pg_namespace',
        'nspowner',
        `to_regnamespace(${quoteLiteral(quoteIdentifier(schema))})`,
        owner,
      ),
      make: [
        `create schema if not exists ${quoteIdentifier(schema)} authorization ${quoteIdentifier(owner)}`,
        `alter schema ${quoteIdentifier(schema)} owner to ${quoteIdentifier(owner)}`,
      ],
    },
    ...tables(plan.installation).map((table) => tableStep(schema, table, owner)),
    ...laterColumns(plan.installation).map((column) => columnStep(schema, column)),
    {
      what: `${schema} belongs to this ledger`,
      look: rowExists(schema, 'about', `ledger = ${quoteLiteral(plan.ledger)}`, 'created'),
      make: [
        `insert into ${quoteIdentifier(schema)}.about (ledger) values (${quoteLiteral(plan.ledger)})`,
      ],
    },
    ...plan.groups.map((group) => allowedGroup(plan.installation, group)),
    noOtherGroups(plan),
    ...routines(plan.installation).flatMap((routine) => routineSteps(schema, routine, plan)),
    ...[plan.guard.username, plan.admin.username]
      .filter((role) => role !== owner)
      .map((role) => usage(schema, role)),
  ];
}

/** There, and with the owner that it should have. */
function ownedLook(catalogue: string, column: string, oid: string, owner: string): string {
  return `select case when o.oid is null then 'created'
      when o.${column} = to_regrole(${quoteLiteral(quoteIdentifier(owner))}) then 'unchanged'
      else 'changed' end as state
    from (select) one left join ${catalogue} o on o.oid = ${oid}`;
}

function tableStep(schema: string, { name, sql }: Table, owner: string): InstallStep {
  const qualified = `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
  const existing = quoteLiteral(qualified);
  return {
    what: `${schema}.${name}`,
    look: ownedLook('pg_class', 'relowner', `to_regclass(${existing})`, owner),
    make: [
      `do $do$ begin
        if to_regclass(${existing}) is null then
          set local role ${quoteIdentifier(owner)};
          ${sql};
          reset role;
        elsif exists (select from pg_class c where c.oid = to_regclass(${existing}) and c.relkind = 'r') then
          alter table ${qualified} owner to ${quoteIdentifier(owner)};
        end if;
      end $do$`,
    ],
  };
}

function columnStep(schema: string, { table, name, add }: LaterColumn): InstallStep {
  const qualified = quoteLiteral(`${quoteIdentifier(schema)}.${quoteIdentifier(table)}`);
  return {
    what: `${schema}.${table}.${name}`,
    look: `select case when exists (select from pg_attribute a where a.attrelid = to_regclass(${qualified})
        and a.attname = ${quoteLiteral(name)} and not a.attisdropped)
      then 'unchanged' else 'created' end as state`,
    make: add,
  };
}

function rowExists(schema: string, table: string, condition: string, otherwise: string): string {
  return `select case when exists (select from ${quoteIdentifier(schema)}.${quoteIdentifier(table)}
      where ${condition}) then 'unchanged' else ${quoteLiteral(otherwise)} end as state`;
}

function allowedGroup(installation: string, group: AllowedGroup): InstallStep {
  const schema = schemaOf(installation);
  const estate = estateOf(installation, group);
  const literal = (text: string | undefined) => (text === undefined ? 'null' : quoteLiteral(text));
  const values = `${quoteLiteral(group.name)}, ${group.connectionLimit}, ${literal(group.createsIn)}, ${literal(estate)}`;
  return {
    what: `group ${group.name} may be handed out`,
    look: rowExists(
      schema,
      'allowed_group',
      `(group_name, connection_limit, coalesce(creates_in, ''), coalesce(estate, '')) =
        (${quoteLiteral(group.name)}, ${group.connectionLimit}, ${quoteLiteral(group.createsIn ?? '')}, ${quoteLiteral(estate ?? '')})`,
      'changed',
    ),
    make: [
      `insert into ${quoteIdentifier(schema)}.allowed_group
         (group_name, connection_limit, creates_in, estate) values (${values})
       on conflict (group_name) do update set connection_limit = excluded.connection_limit,
         creates_in = excluded.creates_in, estate = excluded.estate`,
    ],
  };
}

/** A group that left the catalogue can no longer be minted, whatever OpenBao still holds. */
function noOtherGroups({ installation, groups }: TargetInstallation): InstallStep {
  const schema = schemaOf(installation);
  const names = groups.map(({ name }) => quoteLiteral(name)).join(', ') || "''";
  const table = `${quoteIdentifier(schema)}.allowed_group`;
  return {
    what: 'no other group may be handed out',
    look: `select case when exists (select from ${table} where group_name not in (${names}))
      then 'changed' else 'unchanged' end as state`,
    make: [`delete from ${table} where group_name not in (${names})`],
  };
}

function routineSteps(
  schema: string,
  routine: Routine,
  plan: TargetInstallation,
): readonly InstallStep[] {
  const identity = routineIdentity(schema, routine);
  const owner = ownerOf(plan);
  const callers = { admin: [plan.admin.username], guard: [plan.guard.username], owner: [] };
  const grantees = callers[routine.for].filter((role) => role !== owner);
  return [
    {
      what: `${routine.kind} ${schema}.${routine.name}`,
      look: routineLook(schema, routine, owner),
      make: [
        createRoutine(schema, routine),
        `alter routine ${identity} owner to ${quoteIdentifier(owner)}`,
      ],
    },
    {
      what: `${routine.name} is only for ${[owner, ...grantees].join(' and ')}`,
      look: routineAclLook(schema, routine, [owner, ...grantees]),
      make: [
        `revoke all on routine ${identity} from public, ${[plan.admin, plan.guard].map(({ username }) => quoteIdentifier(username)).join(', ')}`,
        `grant execute on routine ${identity} to ${quoteIdentifier(owner)}`,
        ...grantees.map(
          (grantee) => `grant execute on routine ${identity} to ${quoteIdentifier(grantee)}`,
        ),
      ],
    },
  ];
}

/**
 * Compares what the server runs with what it should: body, rights and settings. It asks without
 * `to_regprocedure`, which answers only those who may use the schema.
 */
export function routineLook(schema: string, routine: Routine, owner: string): string {
  const settings = routine.settings.map((setting) =>
    quoteLiteral(setting.replace(/ = '?([^']*)'?$/, '=$1')),
  );
  const config = settings.length === 0 ? 'null' : `array[${settings.join(', ')}]::text[]`;
  return `select case when p.oid is null then 'created'
      when p.prosrc = ${quoteLiteral(routine.body)} and p.prosecdef = ${routine.definer}
        and p.proconfig is not distinct from ${config}
        and p.proowner = to_regrole(${quoteLiteral(quoteIdentifier(owner))})
      then 'unchanged' else 'changed' end as state
    from (select) one left join ${installed(schema, routine)} p on true`;
}

function installed(schema: string, { name, identity }: Routine): string {
  return `(select f.* from pg_proc f join pg_namespace n on n.oid = f.pronamespace
    where n.nspname = ${quoteLiteral(schema)} and f.proname = ${quoteLiteral(name)}
      and oidvectortypes(f.proargtypes) = ${quoteLiteral(identity)})`;
}

function routineAclLook(schema: string, routine: Routine, roles: readonly string[]): string {
  const wanted = roles.map((role) => quoteLiteral(role)).join(', ');
  return `select case when p.oid is null then 'created' when p.proacl is not null and
      (select array_agg(distinct coalesce(r.rolname, 'public')::text order by coalesce(r.rolname, 'public')::text)
        from aclexplode(p.proacl) a left join pg_roles r on r.oid = a.grantee)
      = (select array_agg(x order by x) from unnest(array[${wanted}]::text[]) x)
    then 'unchanged' else 'changed' end as state
    from (select) one left join ${installed(schema, routine)} p on true`;
}

function usage(schema: string, guard: string): InstallStep {
  return {
    what: `USAGE on schema ${schema} for ${guard}`,
    look: `select case when exists (select from pg_namespace n, aclexplode(n.nspacl) a
        where n.nspname = ${quoteLiteral(schema)} and a.privilege_type = 'USAGE'
          and a.grantee = to_regrole(${quoteLiteral(quoteIdentifier(guard))}))
      then 'unchanged' else 'created' end as state`,
    make: [`grant usage on schema ${quoteIdentifier(schema)} to ${quoteIdentifier(guard)}`],
  };
}
