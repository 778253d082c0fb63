/** The AppRoles, and the policies of the same names, of Mayfly's two identities in OpenBao. */
export const MINTER_NAME = 'mayfly-minter';
export const REAPER_NAME = 'mayfly-reaper';

/** The mount in which one installation remembers which ledger is its own, and how far it has come. */
export function markMountOf(installation: string): string {
  return `mayfly-${installation}`;
}

/** The one record in it. */
export const MARK_RECORD = 'ledger';

/** The token role of a scope, and the policy of the same name that its tokens have. */
export function tokenRoleOf(scopeName: string): string {
  return `mayfly-${scopeName}`;
}
