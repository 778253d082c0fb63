/**
 * The process clock. It serves tokens and time-outs only: deadlines of leases are compared by the
 * ledger's clock, in SQL. Nothing outside this file reads the system's time.
 */
export type Clock = {
  /** Wall time. */
  now(): Date;
  /** Milliseconds since some fixed point; never goes backwards. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds, or at once when `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `ring` once, after `ms` milliseconds, unless the answer is called before. */
  alarm(ms: number, ring: () => void): () => void;
};

/** The longest delay that setTimeout honours, in milliseconds; above it, it fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, delayOf(ms));
      signal?.addEventListener('abort', done, { once: true });
    }),
  alarm: (ms, ring) => {
    const timer = setTimeout(ring, delayOf(ms));
    return () => clearTimeout(timer);
  },
};

function delayOf(ms: number): number {
  return Math.min(Math.max(0, ms), LONGEST_TIMER_MS);
}

/**
 * What `work` comes to, or undefined where that takes longer than `ms` milliseconds: the work goes on,
 * and only the wait for it is over. Rejects where the work does so in time.
 */
export async function within<Value>(
  clock: Pick<Clock, 'alarm'>,
  ms: number,
  work: Promise<Value>,
): Promise<Value | undefined> {
  let cancel: (() => void) | undefined;
  const late = new Promise<undefined>((resolve) => {
    cancel = clock.alarm(ms, () => resolve(undefined));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel?.();
  }
}

/** Unix seconds, rounded down. */
export function unixSeconds(instant: Date): number {
  return Math.floor(instant.getTime() / 1000);
}
