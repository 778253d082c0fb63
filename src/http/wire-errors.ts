import type { FailureReason } from '../foundation/failure.ts';

/** Error codes of RFC 6749 5.2 and its extensions that we use. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_authorization_details'
  | 'access_denied'
  | 'temporarily_unavailable'
  | 'server_error';

export type WireError = {
  readonly oauth: { readonly error: OAuthErrorCode; readonly status: number };
  /** RFC 9457: the title is the same for every occurrence of the reason. */
  readonly rest: { readonly status: number; readonly title: string };
};

type Table = Readonly<Record<FailureReason, WireError>>;

function wire(
  error: OAuthErrorCode,
  oauthStatus: number,
  restStatus: number,
  title: string,
): WireError {
  return { oauth: { error, status: oauthStatus }, rest: { status: restStatus, title } };
}

/** A bad subject token is `invalid_request` (RFC 8693 2.2.2); as a bearer it is a 401. */
function badToken(title: string): WireError {
  return wire('invalid_request', 400, 401, title);
}

function badDetails(title: string): WireError {
  return wire('invalid_authorization_details', 400, 400, title);
}

function unavailable(title: string): WireError {
  return wire('temporarily_unavailable', 503, 503, title);
}

/**
 * The one bridge from internal reasons to the wire, for both faces. Exhaustive by its type;
 * docs/errors.md lists the same, and a test compares them.
 */
export const WIRE_ERRORS: Table = {
  // 405, 408 and 413 are HTTP's own words for these; OAuth clients read the body all the same.
  not_a_form: wire('invalid_request', 400, 415, 'Not a form'),
  not_json: wire('invalid_request', 400, 400, 'Not the JSON that is asked for'),
  body_too_large: wire('invalid_request', 413, 413, 'Body too large'),
  body_incomplete: wire('invalid_request', 408, 408, 'Body did not arrive in time'),
  query_not_allowed: wire('invalid_request', 400, 400, 'Parameters in the address'),
  parameter_missing: wire('invalid_request', 400, 400, 'Parameter missing'),
  parameter_invalid: wire('invalid_request', 400, 400, 'Parameter invalid'),
  duplicate_parameter: wire('invalid_request', 400, 400, 'Parameter given twice'),
  unsupported_grant_type: wire('unsupported_grant_type', 400, 400, 'Grant type not supported'),
  method_not_allowed: wire('invalid_request', 405, 405, 'Method not allowed'),
  not_found: wire('invalid_request', 404, 404, 'Not found'),
  too_many_requests: wire('temporarily_unavailable', 429, 429, 'Too many requests'),

  unauthenticated: wire('invalid_client', 401, 401, 'Not authenticated'),
  permission_missing: wire('unauthorized_client', 400, 403, 'Permission missing'),
  subject_token_malformed: badToken('Token malformed'),
  subject_token_too_large: badToken('Token too large'),
  subject_token_type: badToken('Token of a type that is not accepted'),
  subject_token_algorithm: badToken('Token with an algorithm that is not accepted'),
  subject_token_key_unknown: badToken('Token signed with an unknown key'),
  subject_token_signature: badToken('Token with a bad signature'),
  subject_token_expired: badToken('Token expired'),
  subject_token_not_yet_valid: badToken('Token not yet valid'),
  subject_token_audience: badToken('Token for another audience'),
  subject_token_claims: badToken('Token with unacceptable claims'),
  subject_token_delegated: badToken('Token that delegates'),
  unknown_issuer: badToken('Issuer not known'),
  issuer_keys_unavailable: unavailable("Issuer's keys not available"),
  unmapped_identity: badToken('No agent has this identity'),
  ambiguous_identity: badToken('Several agents have this identity'),
  actor_token_unsupported: wire('invalid_request', 400, 400, 'Actor tokens not supported'),

  task_missing: wire('invalid_request', 400, 400, 'No task declared'),
  task_type_unknown: badDetails('Task type not known'),
  scope_missing: wire('invalid_scope', 400, 400, 'No scope asked for'),
  scope_unknown: wire('invalid_scope', 400, 400, 'Scope not known'),
  scope_wider_than_task: wire('invalid_scope', 400, 400, 'Scope wider than the task'),
  wider_than_task_type: badDetails('Task wider than its type'),
  wider_than_open_task: badDetails('Task wider than the open one'),
  details_malformed: badDetails('Task malformed'),
  details_unknown_member: badDetails('Task with an unknown member'),
  details_too_many: badDetails('More than one task'),
  details_unsupported_type: badDetails('Type of details not supported'),
  task_urn_invalid: wire('invalid_target', 400, 400, 'Task URN invalid'),

  policy_denied: wire('access_denied', 400, 403, 'Denied by policy'),
  agent_ended: wire('access_denied', 400, 403, 'Agent has ended'),
  agent_quarantined: wire('access_denied', 400, 403, 'Agent quarantined'),
  task_ended: wire('access_denied', 400, 409, 'Task has ended'),
  limit_open_leases: wire('access_denied', 400, 403, 'Too many open leases'),
  limit_rate: wire('temporarily_unavailable', 429, 429, 'Too many leases a minute'),
  limit_denials: wire('temporarily_unavailable', 429, 429, 'Too many refusals a minute'),
  idempotency_key_in_flight: wire('temporarily_unavailable', 409, 409, 'Still under way'),
  idempotency_key_reused: wire('invalid_request', 400, 409, 'Key used for another request'),

  lease_ended: wire('access_denied', 400, 409, 'Lease has ended'),
  lease_not_due: wire('access_denied', 400, 409, 'Lease is not due'),
  revocation_under_way: unavailable('Revocation under way'),
  reconciliation_running: wire(
    'temporarily_unavailable',
    503,
    409,
    'A reconciliation is under way',
  ),
  ledger_not_confirmed: unavailable('Ledger not confirmed'),
  confirmation_outdated: wire('access_denied', 400, 409, 'Confirmation outdated'),
  mint_refused: wire('server_error', 500, 502, 'Refused by the backend'),
  mint_unknown: unavailable('Mint with an unknown outcome'),
  backend_sealed: unavailable('Backend sealed'),
  backend_unreachable: unavailable('Backend out of reach'),
  ledger_unreachable: unavailable('Ledger out of reach'),
  target_unreachable: unavailable('Target out of reach'),
  revocation_backlog: unavailable('Too much to be ended first'),
  guard_unreachable: unavailable('Nothing could be ended there'),
  clocks_apart: unavailable('Clocks apart'),
  stopping: unavailable('Stopping'),
  internal: wire('server_error', 500, 500, 'Internal error'),
};

/** Reasons for which nobody can be told apart yet: the caller is not authenticated. */
export function isAboutIdentity(reason: FailureReason): boolean {
  return WIRE_ERRORS[reason].rest.status === 401;
}
