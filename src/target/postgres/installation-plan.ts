import type { SecretText } from '../../foundation/secret-text.ts';
import { ownerRoleOf } from './schema-name.ts';

/** A group role that scopes may hand out. */
export type AllowedGroup = {
  readonly name: string;
  /** Sessions that one credential may hold at a time. */
  readonly connectionLimit: number;
  /** A schema in which holders may create; absent: none. */
  readonly createsIn?: string;
};

export type TargetLogin = { readonly username: string; readonly password: SecretText };

/**
 * Rights of PUBLIC that apply takes away. `database`: CONNECT and TEMPORARY on this database and
 * CREATE on its schema `public`; `cluster`: also CONNECT on every other database of the cluster;
 * `none`: the database is not ours to narrow, and doctor says what is missing.
 */
export type PublicRights = 'none' | 'database' | 'cluster';

/**
 * Whose rights the routines have. `superuser`: those of a superuser role that nobody can log in as;
 * OpenBao's login can then do nothing but call two of them. `admin`: those of OpenBao's login, which
 * needs CREATEROLE and the groups' admin option for it, and becomes slower with every live
 * credential: from 16 on it is a member of each role that it made (docs/decisions/0028).
 */
export type RoutinesOwner = 'superuser' | 'admin';

export type TargetInstallation = {
  readonly installation: string;
  /** Tells two ledgers with the same installation id apart; any text that stays the same. */
  readonly ledger: string;
  readonly database: string;
  /** OpenBao's login. Its password is set when the role is made, and then is OpenBao's to rotate. */
  readonly admin: TargetLogin;
  readonly guard: TargetLogin;
  readonly prover: TargetLogin;
  readonly groups: readonly AllowedGroup[];
  readonly narrowPublic: PublicRights;
  readonly routinesOwner: RoutinesOwner;
};

/** The role that owns schema, tables and routines. */
export function ownerOf(
  plan: Pick<TargetInstallation, 'installation' | 'routinesOwner'> & {
    readonly admin: Pick<TargetLogin, 'username'>;
  },
): string {
  return plan.routinesOwner === 'superuser' ? ownerRoleOf(plan.installation) : plan.admin.username;
}

/** One thing that has to be there, and what was or would be done for it. */
export type Change = {
  readonly what: string;
  readonly state: 'created' | 'changed' | 'unchanged';
};

/** Looks at one thing and makes it right. */
export type InstallStep = {
  readonly what: string;
  /** One row with `state`: what has to be done. The steps before it were taken. */
  readonly look: string;
  readonly make: readonly string[];
};
