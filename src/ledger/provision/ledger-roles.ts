import type { SecretText } from '../../foundation/secret-text.ts';

/**
 * The three logins of a ledger. The owner runs migrations and nothing else; the broker works as
 * `app`, which can neither change nor delete an audit event; `reader` is for reports.
 */
export const LEDGER_ROLES = {
  owner: 'mayfly_owner',
  app: 'mayfly_app',
  reader: 'mayfly_reader',
} as const;
export type LedgerRole = keyof typeof LEDGER_ROLES;

export type LedgerPasswords = Readonly<Record<LedgerRole, SecretText>>;

export const ROLE_KEYS = ['owner', 'app', 'reader'] as const satisfies readonly LedgerRole[];
