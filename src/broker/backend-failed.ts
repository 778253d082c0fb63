import type { Failure, FailureReason } from '../foundation/failure.ts';
import type { Lease } from '../ledger/lease.ts';
import { MINT_RETRY_SECONDS } from './margins.ts';

/** What passes by itself; a refusal by OpenBao does not. */
const PASSING: ReadonlySet<FailureReason> = new Set([
  'mint_unknown',
  'backend_sealed',
  'backend_unreachable',
  'target_unreachable',
]);

/** A failed mint as its caller hears of it: by which decision, and when to try again. */
export function backendFailed(failure: Failure, lease: Lease): Failure {
  const retryAfterSeconds = failure.retryAfterSeconds ?? MINT_RETRY_SECONDS;
  return {
    ...failure,
    ...(PASSING.has(failure.reason) ? { retryAfterSeconds } : {}),
    decisionId: lease.decisionId,
  };
}
