import pg from 'pg';
import { connectionConfig } from '../postgres/ledger-address.ts';
import type { LedgerAddress } from '../postgres/ledger-address.ts';
import { holds } from './ledger-step.ts';
import type { Piece } from './ledger-step.ts';
import { scramVerifier } from './scram-verifier.ts';

const { escapeIdentifier, escapeLiteral } = pg;

const ROLE_IS_PLAIN = `exists (select from pg_catalog.pg_roles where rolname = $1 and rolcanlogin
  and not (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls))`;

/** Only those whose default is no: naming more needs rights that a plain administrator lacks. */
const ATTRIBUTES = ['login', 'nocreaterole', 'nocreatedb'].join(' ');

export type Login = {
  readonly name: string;
  /** Where and as what it will log in. */
  readonly address: LedgerAddress;
  readonly password: string;
  /** For the salt of its verifier. */
  readonly salt: string;
};

/** A login role of one's own: no right but to log in. */
export function rolePiece(login: Login): Piece {
  const name = escapeIdentifier(login.name);
  return {
    what: `role ${login.name}`,
    look: async (client) => {
      if (await holds(client, ROLE_IS_PLAIN, [login.name])) return 'unchanged';
      return (await exists(client, login.name)) ? 'changed' : 'created';
    },
    make: async (client) => {
      const known = await exists(client, login.name);
      await client.query(`${known ? 'alter' : 'create'} role ${name} ${ATTRIBUTES}`);
      if (known) await client.query(`alter role ${name} nosuperuser noreplication nobypassrls`);
    },
  };
}

/** Compared by logging in: only superusers may read what the server stores. */
export function passwordPiece(login: Login): Piece {
  return {
    what: `password of ${login.name}`,
    look: async (client) => {
      if (!(await exists(client, login.name))) return 'created';
      return (await opens(login.address)) ? 'unchanged' : 'changed';
    },
    make: async (client) => {
      const verifier = escapeLiteral(scramVerifier(login.password, login.salt));
      await client.query(`alter role ${escapeIdentifier(login.name)} password ${verifier}`);
    },
  };
}

function exists(client: pg.Client, role: string): Promise<boolean> {
  return holds(client, 'exists (select from pg_catalog.pg_roles where rolname = $1)', [role]);
}

/** True unless the server says that user or password is wrong. */
async function opens(address: LedgerAddress): Promise<boolean> {
  const client = new pg.Client(connectionConfig(address));
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch (error) {
    // 28: wrong password. Later refusals (no such database, no right to it) come after it.
    return error instanceof pg.DatabaseError && error.code?.startsWith('28') !== true;
  } finally {
    await client.end().catch(() => undefined);
  }
}
