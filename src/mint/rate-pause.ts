import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { VaultHttpError } from './vault-http-error.ts';

/** Milliseconds of a pause where the answer does not say how long: most quotas count by the second. */
const PAUSE_MS = 1_000;

/** Milliseconds of a pause at most, whatever a proxy says. */
const LONGEST_PAUSE_MS = 30_000;

/**
 * What OpenBao's rate limits leave belongs to those who end leases: who makes some stays silent after
 * a 429 for as long as it said.
 */
export type RatePause = {
  /** Why nothing is to be sent now; undefined where it may be. */
  refusal(): Failure | undefined;
  /** Takes note of a call that did not succeed. */
  saw(error: VaultHttpError): void;
};

export function openRatePause(clock: Clock): RatePause {
  let untilMs = 0;
  return {
    refusal() {
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0) return undefined;
      const detail = 'the secret backend limits our rate; try again later';
      const retryAfterSeconds = Math.ceil(leftMs / 1000);
      return failure('backend_unreachable', detail, { retryAfterSeconds });
    },
    saw({ status, retryAfterSeconds }) {
      if (status !== 429) return;
      const askedMs = retryAfterSeconds === null ? PAUSE_MS : retryAfterSeconds * 1000;
      untilMs = clock.monotonicMs() + Math.min(askedMs, LONGEST_PAUSE_MS);
    },
  };
}
