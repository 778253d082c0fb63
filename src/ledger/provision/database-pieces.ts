import pg from 'pg';
import { LEDGER_ROLES } from './ledger-roles.ts';
import { holds } from './ledger-step.ts';
import type { Piece } from './ledger-step.ts';

const { escapeIdentifier } = pg;
const { owner, app, reader } = LEDGER_ROLES;
const ROLES = `('${owner}', '${app}', '${reader}')`;

export const DATABASE_EXISTS = 'exists (select from pg_catalog.pg_database where datname = $1)';

/** Looked up by name, so that it can be asked while roles or database are missing. */
const ROLES_MAY_CONNECT = `(select count(*) = 3 from pg_catalog.pg_roles as r, pg_catalog.pg_database as d
  where d.datname = $1 and r.rolname in ${ROLES}
    and pg_catalog.has_database_privilege(r.oid, d.oid, 'connect'))`;
/** True where PUBLIC (grantee 0) has any right on the database. */
const PUBLIC_HAS_DATABASE = `exists (select from pg_catalog.pg_database as d,
  lateral pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) as a
  where d.datname = $1 and a.grantee = 0)`;
const PUBLIC_MAY_CREATE = `exists (select from pg_catalog.pg_namespace as n,
  lateral pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) as a
  where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE')`;
const SCHEMA_IS_OURS = `exists (select from pg_catalog.pg_namespace
  where nspname = 'mayfly' and nspowner = to_regrole('${owner}'))`;
const SCHEMA_EXISTS = `exists (select from pg_catalog.pg_namespace where nspname = 'mayfly')`;

export function databasePiece(database: string): Piece {
  return {
    what: `database ${database}`,
    look: async (client) =>
      (await holds(client, DATABASE_EXISTS, [database])) ? 'unchanged' : 'created',
    make: async (client) => {
      // Names of template0, so that no locale or extension of this server's template comes in.
      await client.query(
        `create database ${escapeIdentifier(database)} template template0 encoding 'UTF8'`,
      );
    },
  };
}

/** Only the three logins may connect to the ledger's database. */
export function connectPiece(database: string): Piece {
  const name = escapeIdentifier(database);
  return {
    what: `who may connect to ${database}`,
    look: async (client) =>
      (await holds(client, `${ROLES_MAY_CONNECT} and not ${PUBLIC_HAS_DATABASE}`, [database]))
        ? 'unchanged'
        : 'changed',
    make: async (client) => {
      await client.query(`revoke all on database ${name} from public`);
      await client.query(`grant connect on database ${name} to ${owner}, ${app}, ${reader}`);
    },
  };
}

/** In the ledger's database: nobody creates anything beside the ledger. */
export const publicSchemaPiece: Piece = {
  what: 'schema public: PUBLIC may not create',
  look: async (client) => ((await holds(client, PUBLIC_MAY_CREATE)) ? 'changed' : 'unchanged'),
  make: async (client) => {
    await client.query('revoke create on schema public from public');
  },
};

/** In the ledger's database: the schema, made before the migrations and owned by who runs them. */
export const schemaPiece: Piece = {
  what: 'schema mayfly',
  look: async (client) => {
    if (await holds(client, SCHEMA_IS_OURS)) return 'unchanged';
    return (await holds(client, SCHEMA_EXISTS)) ? 'changed' : 'created';
  },
  make: async (client) => {
    // Whoever gives something to a role must be able to become it; superusers are, always.
    await client.query(`do $$ begin
      if not pg_catalog.pg_has_role('${owner}', 'member') then
        grant ${owner} to current_user;
      end if;
    end $$`);
    if (await holds(client, SCHEMA_EXISTS)) {
      await client.query(`alter schema mayfly owner to ${owner}`);
    } else {
      await client.query(`create schema mayfly authorization ${owner}`);
    }
  },
};
