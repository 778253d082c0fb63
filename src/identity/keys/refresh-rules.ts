/** When a key set is read again. All in milliseconds. */
export type RefreshTimes = {
  /** Older than this, keys are read again before they are used. */
  readonly maxAgeMs: number;
  /** Keys that cannot be read again serve for so long, counted from their last reading. */
  readonly staleMs: number;
  /** Between two readings that unknown keys ask for: bounds what strangers can make us fetch. */
  readonly coolDownMs: number;
  /** From the end of a reading that failed to the next one. */
  readonly retryMs: number;
  /** For so long a key that was looked for in vain asks for no reading. */
  readonly missMs: number;
};

/** What is known about a key set at one moment. Instants are of the monotonic clock. */
export type KeySetAge = {
  readonly nowMs: number;
  readonly loadedAtMs: number | undefined;
  /** When the last reading ended, well or not: one that is never answered ends by its time-out. */
  readonly attemptEndedAtMs: number | undefined;
  readonly attemptFailed: boolean;
  readonly kidKnown: boolean;
  /** When this kid was last looked for in vain. */
  readonly missedAtMs: number | undefined;
};

/** Share of the maximum age after which keys are read again in the background. */
const BACKGROUND_SHARE = 0.8;

/**
 * Whether to read the keys again now, and whether the token at hand waits for it. After a failure a
 * key that is held and still trusted does not wait: a provider that never answers would cost each of
 * its tokens a time-out. A failure older than `maxAgeMs` says nothing of now, and a key that was
 * withdrawn since must not verify for want of a look.
 */
export function refreshNeed(age: KeySetAge, times: RefreshTimes): 'none' | 'background' | 'wait' {
  const sinceAttempt = elapsed(age.nowMs, age.attemptEndedAtMs);
  if (age.attemptFailed && sinceAttempt < times.retryMs) return 'none';
  const sinceLoad = elapsed(age.nowMs, age.loadedAtMs);
  if (sinceLoad >= times.maxAgeMs) {
    const failedLately = age.attemptFailed && sinceAttempt < times.maxAgeMs;
    return failedLately && age.kidKnown && stillTrusted(age, times) ? 'background' : 'wait';
  }
  if (!age.kidKnown) {
    const missedLately = elapsed(age.nowMs, age.missedAtMs) < times.missMs;
    return missedLately || sinceAttempt < times.coolDownMs ? 'none' : 'wait';
  }
  return sinceLoad >= times.maxAgeMs * BACKGROUND_SHARE ? 'background' : 'none';
}

/** Whether keys may still verify anything. */
export function stillTrusted(
  age: Pick<KeySetAge, 'nowMs' | 'loadedAtMs'>,
  times: Pick<RefreshTimes, 'staleMs'>,
): boolean {
  return elapsed(age.nowMs, age.loadedAtMs) < times.staleMs;
}

function elapsed(nowMs: number, sinceMs: number | undefined): number {
  return sinceMs === undefined ? Infinity : nowMs - sinceMs;
}
