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
  return {
    now: () => new Date(systemClock.now().getTime() + offMs),
    monotonicMs,
    sleep: async (ms, signal) => {
      const until = monotonicMs() + ms;
      while (signal?.aborted !== true && monotonicMs() < until) {
        await systemClock.sleep(Math.min(LOOK_MS, until - monotonicMs()), signal);
      }
    },
    advance: (ms) => {
      moved += ms;
    },
  };
}
