import pg from 'pg';
import type { Ids } from '../../foundation/ids.ts';
import type { Log } from '../../foundation/log.ts';
import { SecretText } from '../../foundation/secret-text.ts';
import { migrate } from '../migrate.ts';
import { MIGRATIONS } from '../migrations.ts';
import { connectionConfig } from '../postgres/ledger-address.ts';
import type { LedgerAddress } from '../postgres/ledger-address.ts';
import { translateError } from '../postgres/translate-error.ts';
import {
  connectPiece,
  databasePiece,
  DATABASE_EXISTS,
  publicSchemaPiece,
  schemaPiece,
} from './database-pieces.ts';
import { diagnoseLedger } from './diagnose-ledger.ts';
import type { Finding } from './finding.ts';
import { LEDGER_ROLES, ROLE_KEYS } from './ledger-roles.ts';
import type { LedgerPasswords, LedgerRole } from './ledger-roles.ts';
import { holds, take } from './ledger-step.ts';
import type { LedgerStep } from './ledger-step.ts';
import { passwordPiece, rolePiece } from './role-pieces.ts';

export type LedgerAdministrationOptions = {
  /** An administrator's login: a superuser, or one who may create roles and databases. */
  readonly admin: LedgerAddress;
  /** Name of the ledger's database, made where it is missing. */
  readonly database: string;
  /** What each login's password shall be; set where it is another. */
  readonly passwords: LedgerPasswords;
  readonly ids: Ids;
  readonly log: Log;
};

/** Which ledger it is. */
export type LedgerIdentity = { readonly installation: string; readonly ledger: string };

export type LedgerAdministration = {
  /** Changes nothing. `identity` is null while there is no ledger. */
  plan(): Promise<{
    readonly steps: readonly LedgerStep[];
    readonly identity: LedgerIdentity | null;
  }>;
  /** Makes what is missing, migrations included. A second run changes nothing. */
  apply(): Promise<{ readonly steps: readonly LedgerStep[]; readonly identity: LedgerIdentity }>;
  /** Looks for everything that would break a promise of the ledger. */
  diagnose(): Promise<readonly Finding[]>;
  /** The address of the ledger for one of its logins. */
  address(role: LedgerRole): LedgerAddress;
};

/**
 * The ledger with an administrator's rights: three roles, a database of its own, the schema, its
 * migrations and grants. All methods reject with `LedgerUnreachable` where Postgres cannot be asked,
 * and with a `LedgerFault` where it refuses, for want of a right for instance.
 */
export function administerLedger(options: LedgerAdministrationOptions): LedgerAdministration {
  const addresses: Readonly<Record<LedgerRole, LedgerAddress>> = {
    owner: addressOf(options, 'owner'),
    app: addressOf(options, 'app'),
    reader: addressOf(options, 'reader'),
  };
  const inDatabase = withUser(options.admin, options.database);
  return {
    plan: async () => {
      const onServer = await serverSteps(options, addresses, 'plan');
      if (!(await databaseExists(options))) {
        return { steps: [...onServer, ...missingSchema()], identity: null };
      }
      const { steps, identity } = await connected(inDatabase, async (client) => ({
        steps: [...(await schemaSteps(client, 'plan')), ...(await migrationSteps(client))],
        identity: await readIdentity(client),
      }));
      return { steps: [...onServer, ...steps], identity };
    },
    apply: async () => {
      const onServer = await serverSteps(options, addresses, 'apply');
      const before = await connected(inDatabase, async (client) => ({
        schema: await schemaSteps(client, 'apply'),
        migrations: await migrationSteps(client),
        rights: await readRights(client),
      }));
      await migrate(addresses.owner, options.log);
      const after = await connected(inDatabase, async (client) => ({
        identity: await readIdentity(client),
        rights: await readRights(client),
      }));
      if (after.identity === null) throw new Error('the migrations left no installation id');
      const rights = after.rights === before.rights ? 'unchanged' : 'changed';
      return {
        steps: [
          ...onServer,
          ...before.schema,
          ...before.migrations,
          { where: 'ledger', what: 'rights of the roles', state: rights },
        ],
        identity: after.identity,
      };
    },
    diagnose: () => diagnoseLedger({ ...options, inDatabase, addresses }),
    address: (role) => addresses[role],
  };
}

function addressOf(options: LedgerAdministrationOptions, role: LedgerRole): LedgerAddress {
  const password = options.passwords[role].reveal();
  return withUser(options.admin, options.database, { user: LEDGER_ROLES[role], password });
}

function withUser(
  { url, ...rest }: LedgerAddress,
  database: string,
  login?: { readonly user: string; readonly password: string },
): LedgerAddress {
  const other = new URL(url.reveal());
  other.pathname = `/${encodeURIComponent(database)}`;
  if (login) {
    other.username = encodeURIComponent(login.user);
    other.password = encodeURIComponent(login.password);
  }
  return { ...rest, url: new SecretText(other.href) };
}

async function serverSteps(
  options: LedgerAdministrationOptions,
  addresses: Readonly<Record<LedgerRole, LedgerAddress>>,
  mode: 'plan' | 'apply',
): Promise<readonly LedgerStep[]> {
  const { database, passwords, ids } = options;
  const logins = ROLE_KEYS.map((role) => ({
    name: LEDGER_ROLES[role],
    address: addresses[role],
    password: passwords[role].reveal(),
    salt: ids.password(),
  }));
  return await connected(options.admin, (client) =>
    take(
      client,
      [
        ...logins.map(rolePiece),
        ...logins.map(passwordPiece),
        databasePiece(database),
        connectPiece(database),
      ],
      mode,
    ),
  );
}

async function schemaSteps(
  client: pg.Client,
  mode: 'plan' | 'apply',
): Promise<readonly LedgerStep[]> {
  return await take(client, [publicSchemaPiece, schemaPiece], mode);
}

/** Which files are applied, before any is. */
async function migrationSteps(client: pg.Client): Promise<readonly LedgerStep[]> {
  const known = await holds(client, "to_regclass('mayfly.schema_migration') is not null");
  const { rows } = known
    ? await client.query<{ version: number }>('select version from mayfly.schema_migration')
    : { rows: [] };
  return MIGRATIONS.map(({ file, version }) => ({
    where: 'ledger',
    what: `migration ${file}`,
    state: rows.some((row) => row.version === version) ? 'unchanged' : 'created',
  }));
}

function missingSchema(): readonly LedgerStep[] {
  const files = MIGRATIONS.map(({ file }) => `migration ${file}`);
  return [schemaPiece.what, ...files].map((what) => ({
    where: 'ledger',
    what,
    state: 'created',
  }));
}

async function readIdentity(client: pg.Client): Promise<LedgerIdentity | null> {
  if (!(await holds(client, "to_regclass('mayfly.installation') is not null"))) return null;
  const { rows } = await client.query<LedgerIdentity>(
    'select id as installation, ledger_id as ledger from mayfly.installation',
  );
  return rows[0] ?? null;
}

/** All rights in the schema as one text, to see whether the grants changed anything. */
async function readRights(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ rights: string }>(`
    select coalesce(string_agg(entry, e'\\n' order by entry), '') as rights from (
      select 'c ' || c.relname || ' ' || coalesce(c.relacl::text, '') as entry
      from pg_catalog.pg_class as c where c.relnamespace = to_regnamespace('mayfly')
      union all
      select 'a ' || c.relname || '.' || a.attname || ' ' || a.attacl::text
      from pg_catalog.pg_attribute as a join pg_catalog.pg_class as c on c.oid = a.attrelid
      where c.relnamespace = to_regnamespace('mayfly') and a.attacl is not null
      union all
      select 'f ' || p.oid::regprocedure::text || ' ' || coalesce(p.proacl::text, '')
      from pg_catalog.pg_proc as p where p.pronamespace = to_regnamespace('mayfly')
    ) as rights`);
  return rows[0]?.rights ?? '';
}

function databaseExists(options: LedgerAdministrationOptions): Promise<boolean> {
  return connected(options.admin, (client) => holds(client, DATABASE_EXISTS, [options.database]));
}

async function connected<Value>(
  address: LedgerAddress,
  work: (client: pg.Client) => Promise<Value>,
): Promise<Value> {
  const client = new pg.Client(connectionConfig(address));
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw translateError(error).error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
