import { RETRY_FIRST_MS, RETRY_LONGEST_MS } from './margins.ts';

/**
 * Milliseconds until the next attempt after `attempts` failures: doubling, capped, with the upper
 * half as jitter so that replicas and leases do not retry in step. `fraction` lies in [0, 1).
 */
export function retryInMs(attempts: number, fraction: number): number {
  const full = Math.min(
    RETRY_LONGEST_MS,
    RETRY_FIRST_MS * 2 ** Math.max(0, Math.min(attempts, 16)),
  );
  return Math.round(full / 2 + (full / 2) * fraction);
}
