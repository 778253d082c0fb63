import type { SecretText } from '../foundation/secret-text.ts';
import type { Result } from '../foundation/result.ts';
import type { Failure } from '../foundation/failure.ts';

/** Where and as what a credential is minted; a snapshot of it is stored with each lease. */
export type MintPlace = {
  /** Mount of the database engine that belongs to Mayfly. */
  readonly mount: string;
  /** Name of the database config below the mount; OpenBao does one thing at a time per config. */
  readonly config: string;
  readonly role: string;
  /** The token role whose orphan batch tokens may read `creds/<role>` and nothing else. */
  readonly tokenRole: string;
};

/**
 * How a mint ended.
 * - `minted`: the user exists and its lease id is known.
 * - `refused`: OpenBao itself said no (400, 403, 404, 405, 413, 429 with an `errors` array): nothing
 *   was made.
 * - `unsent`: the request never left (no token, no connection): nothing was made.
 * - `unknown`: any other doubt, a 500 included: something may have been made.
 */
export type MintOutcome =
  | {
      readonly kind: 'minted';
      readonly username: string;
      readonly password: SecretText;
      readonly backendLeaseId: string;
      readonly leaseSeconds: number;
    }
  | { readonly kind: 'refused' | 'unsent' | 'unknown'; readonly failure: Failure };

/** The minter's identity in OpenBao: makes batch tokens and, with each, one credential. */
export type Minter = {
  /**
   * Makes an orphan batch token of the place's token role that carries `displayName` and lives
   * `ttlSeconds`. An unused one is harmless.
   */
  token(
    place: MintPlace,
    displayName: string,
    ttlSeconds: number,
  ): Promise<Result<SecretText, Failure>>;
  /** Mints with that token. Never cut: it runs to its end whatever the caller does meanwhile. */
  credential(place: MintPlace, token: SecretText): Promise<MintOutcome>;
};

/** A lease below one of our mounts, as OpenBao lists it. */
export type BackendLease = { readonly id: string };

/** What OpenBao says of one lease, by its own clock. */
export type BackendLeaseFacts = {
  readonly issuedAt: Date;
  /** Seconds since its making; for one that is past its end, its whole life. */
  readonly ageSeconds: number;
  /** Past its end: OpenBao is ending it, or has failed to. */
  readonly expired: boolean;
};

/** The reaper's identity in OpenBao: ends leases and looks them up; cannot mint. */
export type Reaper = {
  /** Revokes with `sync: true`. A lease that is gone already is a success. */
  revoke(backendLeaseId: string): Promise<Result<'revoked', Failure>>;
  /** True while OpenBao knows the lease. */
  knows(backendLeaseId: string): Promise<Result<boolean, Failure>>;
  /** The same with what OpenBao says of it; null where it knows no such lease. */
  lookUp(backendLeaseId: string): Promise<Result<BackendLeaseFacts | null, Failure>>;
  /** Roles below `<mount>/creds/` that have leases, whoever made them. */
  roles(mount: string): Promise<Result<readonly string[], Failure>>;
  /** Lease ids below `<mount>/creds/<role>/`. */
  list(mount: string, role: string): Promise<Result<readonly BackendLease[], Failure>>;
};

/** For readiness: can OpenBao be reached and does it work. */
export type BackendHealth = {
  readonly state: 'ready' | 'sealed' | 'unreachable' | 'not_logged_in';
  readonly detail: string;
  /** OpenBao's clock in whole seconds, rounded down; absent where it did not answer. */
  readonly clock?: Date;
};
export type BackendProbe = {
  health(): Promise<BackendHealth>;
  /** True where the node that answers is the active one: a standby's reads may be stale. */
  isActive(): Promise<boolean>;
};
