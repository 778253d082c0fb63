/**
 * Every way in which a request can be refused or fail, by a stable machine word. The words are
 * wire format (`error_reason`): they are added, never renamed. `http/wire-errors.ts` gives each its
 * status and OAuth error code; docs/errors.md explains each, and a test compares the three.
 */
export const FAILURE_REASONS = [
  // The request itself.
  'not_a_form',
  'not_json',
  'body_too_large',
  'body_incomplete',
  'query_not_allowed',
  'parameter_missing',
  'parameter_invalid',
  'duplicate_parameter',
  'unsupported_grant_type',
  'method_not_allowed',
  'not_found',
  'too_many_requests',
  // Who is asking.
  'unauthenticated',
  'permission_missing',
  'subject_token_malformed',
  'subject_token_too_large',
  'subject_token_type',
  'subject_token_algorithm',
  'subject_token_key_unknown',
  'subject_token_signature',
  'subject_token_expired',
  'subject_token_not_yet_valid',
  'subject_token_audience',
  'subject_token_claims',
  'subject_token_delegated',
  'unknown_issuer',
  'issuer_keys_unavailable',
  'unmapped_identity',
  'ambiguous_identity',
  'actor_token_unsupported',
  // What they ask for.
  'task_missing',
  'task_type_unknown',
  'scope_missing',
  'scope_unknown',
  'scope_wider_than_task',
  'wider_than_task_type',
  'wider_than_open_task',
  'details_malformed',
  'details_unknown_member',
  'details_too_many',
  'details_unsupported_type',
  'task_urn_invalid',
  // May they.
  'policy_denied',
  'agent_ended',
  'agent_quarantined',
  'task_ended',
  'limit_open_leases',
  'limit_rate',
  'limit_denials',
  'idempotency_key_in_flight',
  'idempotency_key_reused',
  // Can we.
  'lease_ended',
  'lease_not_due',
  'revocation_under_way',
  'reconciliation_running',
  'ledger_not_confirmed',
  'confirmation_outdated',
  'mint_refused',
  'mint_unknown',
  'backend_sealed',
  'backend_unreachable',
  'ledger_unreachable',
  'target_unreachable',
  'revocation_backlog',
  'guard_unreachable',
  'clocks_apart',
  'stopping',
  'internal',
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];

/**
 * An expected failure. `detail` is written for the caller: it names the field and the remedy and
 * never repeats a token, credential or assertion. `retryAfterSeconds` is set where waiting helps.
 */
export type Failure = {
  readonly reason: FailureReason;
  readonly detail: string;
  readonly field?: string;
  readonly retryAfterSeconds?: number;
  readonly decisionId?: string;
  readonly policyIds?: readonly string[];
};

export function failure(
  reason: FailureReason,
  detail: string,
  more: Omit<Failure, 'reason' | 'detail'> = {},
): Failure {
  return { reason, detail, ...more };
}

/** The `code` that Node's own and the database driver's errors carry; undefined for others. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
