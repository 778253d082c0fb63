import { systemClock } from '../../../src/foundation/clock.ts';
import type { Clock } from '../../../src/foundation/clock.ts';

/** The real clock, which a test may move on: whoever sleeps wakes when its time has come. */
export type MovedClock = Clock & { advance(ms: number): void };

/** Milliseconds between two looks of a sleeper at the clock. */
const LOOK_MS = 5;

/** @param offMs what the wall time is off by; time-outs do not notice */
export function movedClock(offMs = 0): MovedClock {
  let moved = 0;
  const monotonicMs = () => systemClock.monotonicMs() + moved;
  const sleep: Clock['sleep'] = async (ms, signal) => {
    const until = monotonicMs() + ms;
    while (signal?.aborted !== true && monotonicMs() < until) {
      await systemClock.sleep(Math.min(LOOK_MS, until - monotonicMs()), signal);
    }
  };
  return {
    now: () => new Date(systemClock.now().getTime() + offMs),
    monotonicMs,
    sleep,
    alarm: (ms, ring) => {
      const cancelled = new AbortController();
      void sleep(ms, cancelled.signal).then(() => {
        if (!cancelled.signal.aborted) ring();
      });
      return () => cancelled.abort();
    },
    advance: (ms) => {
      moved += ms;
    },
  };
}
