import { MARK_RECORD, markMountOf, tokenRoleOf } from '../backend-names.ts';
import type { BackendDesign, ScopeDesign } from './backend-design.ts';

/**
 * Each identity may do its part, with the parameters of its part, and nothing else:
 * `allowed_parameters` narrows calls that OpenBao does not scope by path. An empty list of values
 * there means any value, so a rule that nothing narrows is left out.
 */

/** A scope's batch tokens: one credential of this one role. */
export function scopePolicy(installation: string, scope: ScopeDesign): string {
  return written(installation, [
    rule(`${scope.mount}/creds/${scope.role}`, '  capabilities = ["read"]'),
  ]);
}

/** Makes batch tokens for our scopes, of our names only, and looks after its own token. */
export function minterPolicy({ installation, scopes }: BackendDesign): string {
  const create = (scope: ScopeDesign) =>
    rule(
      `auth/token/create/${tokenRoleOf(scope.scope)}`,
      `  capabilities        = ["update"]
  required_parameters = ["display_name", "ttl"]
  allowed_parameters  = {
    "display_name" = ["m${installation}-*"]
    "ttl"          = []
  }`,
    );
  return written(installation, [...scopes.map(create), ...ownToken()]);
}

/**
 * Revokes, looks up and lists leases of credentials below our mounts; without `sync: true`, or for
 * any other lease, OpenBao refuses.
 *
 * @param mounts also those that the catalogue has left: their leases still have to end.
 */
export function reaperPolicy(installation: string, mounts: readonly string[]): string {
  const own = [ledgerMark(installation), ...ownToken()];
  if (mounts.length === 0) return written(installation, own);
  const leases = mounts.map((mount) => JSON.stringify(`${mount}/creds/*`)).join(', ');
  return written(installation, [
    rule(
      'sys/leases/revoke',
      `  capabilities        = ["update"]
  required_parameters = ["lease_id", "sync"]
  allowed_parameters  = {
    "lease_id" = [${leases}]
    "sync"     = [true]
  }`,
    ),
    rule(
      'sys/leases/lookup',
      `  capabilities        = ["update"]
  required_parameters = ["lease_id"]
  allowed_parameters  = {
    "lease_id" = [${leases}]
  }`,
    ),
    ...mounts.map((mount) =>
      rule(`sys/leases/lookup/${mount}/creds/*`, '  capabilities = ["list", "sudo"]'),
    ),
    ...own,
  ]);
}

/** Which ledger this installation goes on with: kept, and never taken away. */
function ledgerMark(installation: string): string {
  return rule(
    `${markMountOf(installation)}/data/${MARK_RECORD}`,
    '  capabilities = ["create", "read", "update"]',
  );
}

function ownToken(): string[] {
  return [
    rule('auth/token/lookup-self', '  capabilities = ["read"]'),
    rule('auth/token/renew-self', '  capabilities = ["update"]'),
    rule('auth/token/revoke-self', '  capabilities = ["update"]'),
  ];
}

function rule(path: string, lines: string): string {
  return `path ${JSON.stringify(path)} {\n${lines}\n}`;
}

const SIGNATURE = '# Written by "mayfly backend apply" for installation ';

function written(installation: string, rules: readonly string[]): string {
  return [`${SIGNATURE}${installation}.`, ...rules, ''].join('\n');
}

/** The installation that a policy's text says it was written for. */
export function signedBy(text: unknown): string | undefined {
  if (typeof text !== 'string' || !text.startsWith(SIGNATURE)) return undefined;
  return /^[^.\n]+/.exec(text.slice(SIGNATURE.length))?.[0];
}
