/** The longest delay that a timer honours, in milliseconds; above it, it fires at once. */
export const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** A renewal is due at this part of the life, give or take half of `JITTER`. */
const RENEW_AT = 0.5;

/** Replicas that started together should not renew together. Part of the delay. */
const JITTER = 0.2;

/** Milliseconds; near its end a token that cannot be renewed is asked about no faster. */
const SHORTEST_DELAY_MS = 1_000;

/** Milliseconds between two tries while the old token still works, or none does. */
const RETRY_MS = 3_000;

/**
 * Milliseconds from a login or renewal to the next renewal: half of the life, give or take a
 * tenth, never less than a second and never more than a timer can hold.
 *
 * @param fraction a random number in [0, 1).
 */
export function renewalDelayMs(ttlSeconds: number, fraction: number): number {
  return clamped(ttlSeconds * 1000 * RENEW_AT * spread(fraction));
}

/** Milliseconds to wait after a failed renewal or login. */
export function retryDelayMs(fraction: number): number {
  return clamped(RETRY_MS * spread(fraction));
}

/**
 * True when a renewal gave so little that the token nears its greatest age: then a new login
 * replaces it instead of ever shorter renewals.
 */
export function nearsItsEnd(renewedSeconds: number, loginSeconds: number): boolean {
  return renewedSeconds < loginSeconds * RENEW_AT;
}

function spread(fraction: number): number {
  return 1 - JITTER / 2 + JITTER * fraction;
}

function clamped(ms: number): number {
  return Math.min(Math.max(SHORTEST_DELAY_MS, ms), LONGEST_DELAY_MS);
}
