import type { Clock } from '../../../src/foundation/clock.ts';

/** 2026-11-22T12:00:00Z: a literal start for every test of time. */
export const START_S = 1_795_348_800;

/** A clock that stands still until it is moved. */
export function testClock(): Clock & { advance(ms: number): void } {
  let passedMs = 0;
  return {
    now: () => new Date(START_S * 1000 + passedMs),
    monotonicMs: () => passedMs,
    sleep: () => Promise.resolve(),
    alarm: () => () => undefined,
    advance: (ms) => {
      passedMs += ms;
    },
  };
}
