import type { Clock } from '../foundation/clock.ts';
import { openTurns } from '../foundation/turns.ts';
import type { Turns } from '../foundation/turns.ts';
import type { Lease } from '../ledger/lease.ts';
import { WAITS_OF_AGENT } from './margins.ts';

/** A lease whose death callers of this process wait for, as one of them last saw it. */
export type AwaitedDeath = {
  lease: Lease;
  /** `clock.monotonicMs()` until which the most patient of them waits. */
  untilMs: number;
  /** Resolves when it is dead, or nobody waits any more; rejects where the ledger is out of reach. */
  readonly over: Promise<void>;
  readonly end: () => void;
  readonly fail: (error: unknown) => void;
};

/** Who waits for deaths in this process: whoever asks for a lease that is awaited already joins. */
export type Waiting = {
  /** By the lease's id. */
  readonly deaths: Map<string, AwaitedDeath>;
  /** Calls of one agent that wait, by its id. */
  readonly calls: Turns;
};

export function nobodyWaiting(clock: Clock): Waiting {
  // No line: who gets no turn is answered with what is known.
  return { deaths: new Map(), calls: openTurns(WAITS_OF_AGENT, 0, clock, 0) };
}

export function awaitedDeath(lease: Lease, untilMs: number): AwaitedDeath {
  let end: (() => void) | undefined;
  let fail: ((error: unknown) => void) | undefined;
  const over = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  return {
    ...{ lease, untilMs, over },
    end: () => end?.(),
    fail: (error) => fail?.(error),
  };
}
