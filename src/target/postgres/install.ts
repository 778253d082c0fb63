import type pg from 'pg';
import type { Ids } from '../../foundation/ids.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { publicRightsSteps } from './install-public-rights.ts';
import { roleSteps } from './install-roles.ts';
import { schemaSteps } from './install-schema.ts';
import type { Change, InstallStep, TargetInstallation, TargetLogin } from './installation-plan.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { schemaOf } from './schema-name.ts';
import { isVerifierOf, scramVerifier } from './scram.ts';

/** Why nothing was installed, with what to do about it. */
export type InstallRefusal = { readonly detail: string };

export type InstallOutcome = Result<readonly Change[], InstallRefusal>;

/** The connection of an administrator to the target's database; the caller closes it. */
export type Administrator = Pick<pg.ClientBase, 'query'>;

/**
 * Makes the target what Mayfly needs, in one transaction. Repeating it changes nothing and says so.
 * Rejects with the server's error when the administrator may not do a step.
 */
export function installTarget(
  administrator: Administrator,
  plan: TargetInstallation,
  ids: Ids,
): Promise<InstallOutcome> {
  return within(administrator, 'commit', () => go(administrator, plan, ids));
}

/**
 * What `installTarget` would do. It runs the same steps and takes them back, so that it also fails
 * where they would fail; roles and rows are locked for that moment.
 */
export function planTarget(
  administrator: Administrator,
  plan: TargetInstallation,
  ids: Ids,
): Promise<InstallOutcome> {
  return within(administrator, 'rollback', () => go(administrator, plan, ids));
}

async function within(
  administrator: Administrator,
  ending: 'commit' | 'rollback',
  work: () => Promise<InstallOutcome>,
): Promise<InstallOutcome> {
  await administrator.query('begin isolation level read committed');
  try {
    const outcome = await work();
    await administrator.query(outcome.ok ? ending : 'rollback');
    return outcome;
  } catch (error) {
    await administrator.query('rollback');
    throw error;
  }
}

async function go(
  administrator: Administrator,
  plan: TargetInstallation,
  ids: Ids,
): Promise<InstallOutcome> {
  await administrator.query(`set local search_path = pg_catalog, pg_temp`);
  await administrator.query(`set local client_min_messages = error`);
  const refusal = await refused(administrator, plan);
  if (refusal !== undefined) return fail({ detail: refusal });
  const version = Number(
    await one(administrator, `select current_setting('server_version_num') as value`),
  );
  const verifiers = new Map<string, string>();
  for (const { username, password } of [plan.admin, plan.guard, plan.prover]) {
    verifiers.set(username, await scramVerifier(password, ids.password()));
  }
  const others = await administrator.query<{ datname: string }>(
    `select datname from pg_database where datallowconn and datname <> current_database() order by 1`,
  );
  const changes: Change[] = [];
  for (const step of [
    ...roleSteps(plan, verifiers, version),
    ...publicRightsSteps(
      plan,
      others.rows.map(({ datname }) => datname),
    ),
  ]) {
    changes.push(await take(administrator, step));
  }
  for (const login of [plan.guard, plan.prover]) {
    changes.push(await setPassword(administrator, login, ids));
  }
  for (const step of schemaSteps(plan)) changes.push(await take(administrator, step));
  return succeed(changes);
}

async function take(administrator: Administrator, step: InstallStep): Promise<Change> {
  const state = (await one(administrator, step.look, 'state')) as Change['state'];
  if (state !== 'unchanged') {
    for (const sql of step.make) await administrator.query(sql);
  }
  return { what: step.what, state };
}

/** A password that cannot be compared (only superusers read verifiers) is set again. */
async function setPassword(
  administrator: Administrator,
  { username, password }: TargetLogin,
  ids: Ids,
): Promise<Change> {
  const what = `password of ${username}`;
  const readable = await one(
    administrator,
    `select has_table_privilege('pg_catalog.pg_authid', 'select') as value`,
  );
  if (readable === true) {
    const verifier = await one(
      administrator,
      `select rolpassword as value from pg_authid where rolname = ${quoteLiteral(username)}`,
    );
    if (typeof verifier === 'string' && (await isVerifierOf(verifier, password))) {
      return { what, state: 'unchanged' };
    }
  }
  const fresh = await scramVerifier(password, ids.password());
  await administrator.query(
    `alter role ${quoteIdentifier(username)} password ${quoteLiteral(fresh)}`,
  );
  return { what, state: 'changed' };
}

/** What must be right before anything is touched. */
async function refused(
  administrator: Administrator,
  plan: TargetInstallation,
): Promise<string | undefined> {
  const database = await one(administrator, 'select current_database() as value');
  if (database !== plan.database) {
    return `connected to database ${String(database)}, but the target's database is ${plan.database}`;
  }
  for (const { name } of plan.groups) {
    const known = await one(
      administrator,
      `select to_regrole(${quoteLiteral(quoteIdentifier(name))}) is not null as value`,
    );
    if (known !== true) {
      return `group role ${name} does not exist at the target: create it (create role ${name} nologin) and grant it what its scopes may do`;
    }
  }
  return (
    (await notSuperuser(administrator, plan)) ??
    (await mightyLogin(administrator, plan)) ??
    (await otherLedger(administrator, plan))
  );
}

async function notSuperuser(
  administrator: Administrator,
  plan: TargetInstallation,
): Promise<string | undefined> {
  if (plan.routinesOwner === 'admin') return undefined;
  const superuser = await one(
    administrator,
    'select rolsuper as value from pg_roles where rolname = current_user',
  );
  return superuser === true
    ? undefined
    : 'the administrator is not a superuser: use the login of one, or, where there is none to be had, set routines_owner: admin in the target’s file (it works with CREATEROLE alone, and becomes slower with every live credential)';
}

/** These logins are narrow ones; a role that somebody uses for more is not taken over. */
async function mightyLogin(
  administrator: Administrator,
  { admin, guard, prover }: TargetInstallation,
): Promise<string | undefined> {
  const names = [admin, guard, prover].map(({ username }) => quoteLiteral(username)).join(', ');
  const mighty = await one(
    administrator,
    `select rolname as value from pg_roles where rolname in (${names})
       and (rolsuper or rolcreatedb or rolreplication or rolbypassrls) limit 1`,
  );
  return typeof mighty !== 'string'
    ? undefined
    : `role ${mighty} has attributes that none of our logins needs: name another role in the target's file, or take SUPERUSER, CREATEDB, REPLICATION and BYPASSRLS from it`;
}

async function otherLedger(
  administrator: Administrator,
  plan: TargetInstallation,
): Promise<string | undefined> {
  const schema = schemaOf(plan.installation);
  const found = await administrator.query<{ about: string | null }>(
    `select to_regclass(${quoteLiteral(`${quoteIdentifier(schema)}.about`)})::text as about
       from pg_namespace where nspname = ${quoteLiteral(schema)}`,
  );
  const [row] = found.rows;
  if (row === undefined) return undefined;
  const ledger =
    row.about === null
      ? null
      : await one(administrator, `select ledger as value from ${quoteIdentifier(schema)}.about`);
  if (ledger === plan.ledger) return undefined;
  return `schema ${schema} was made by another ledger: its credentials are not ours to end. Use another database, or another ledger with a new installation id`;
}

async function one(administrator: Administrator, sql: string, column = 'value'): Promise<unknown> {
  const { rows } = await administrator.query<Record<string, unknown>>(sql);
  return rows[0]?.[column];
}
