import type { SecretText } from '../../foundation/secret-text.ts';

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
};

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
