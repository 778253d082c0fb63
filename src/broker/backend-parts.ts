import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Ids } from '../foundation/ids.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { Administrator as BackendAdministrator } from '../mint/provision/administrator.ts';
import type { Administrator as TargetAdministrator } from '../target/postgres/install.ts';
import type { Provisioned } from './provisioned.ts';

/** Which ledger it is: part of every credential's name, and what a target remembers. */
export type LedgerIdentity = {
  /** 4 characters, made once per ledger. */
  readonly installation: string;
  /** Tells two ledgers with the same installation id apart. */
  readonly ledger: string;
};

/** The ledger with an administrator's rights. */
export type LedgerAdministration = {
  /** Changes nothing; `identity` is null while there is no ledger yet. */
  plan(): Promise<{
    readonly steps: readonly Provisioned[];
    readonly identity: LedgerIdentity | null;
  }>;
  apply(): Promise<{ readonly steps: readonly Provisioned[]; readonly identity: LedgerIdentity }>;
};

/** A kept secret that is not what its name says; `message` is a sentence with the remedy. */
export class UnusableSecret extends Error {
  override readonly name = 'UnusableSecret';
}

/**
 * Where the secrets of the broker are kept, by name: the names of the catalogue (`ORDERS_GUARD`)
 * and those of `BROKER_SECRETS`. What is there is used, what is missing is made.
 */
export type SecretStore = {
  read(name: string): Promise<SecretText | undefined>;
  write(name: string, secret: SecretText): Promise<void>;
  remove(name: string): Promise<void>;
};

/** The secrets of a broker that do not belong to a target. */
export const BROKER_SECRETS = {
  ledgerUrl: 'LEDGER_URL',
  minterRoleId: 'MINTER_ROLE_ID',
  minterSecretId: 'MINTER_SECRET_ID',
  reaperRoleId: 'REAPER_ROLE_ID',
  reaperSecretId: 'REAPER_SECRET_ID',
} as const;

/** What plan, apply and doctor work with: administrators of all that a broker needs. */
export type BackendParts = {
  readonly catalogue: Catalogue;
  readonly ledger: LedgerAdministration;
  /** An administrator's connection to each target's database, by the target's name. */
  readonly targets: ReadonlyMap<string, TargetAdministrator>;
  readonly backend: BackendAdministrator;
  readonly secrets: SecretStore;
  readonly ids: Ids;
};

/** What stopped it, with the remedy. Written for an administrator. */
export type BackendProblem = { readonly where: string; readonly detail: string };
