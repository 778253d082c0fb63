import type { Clock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import type { Log } from '../foundation/log.ts';
import type { Metrics } from '../foundation/metrics.ts';
import { retryInMs } from './backoff.ts';
import { SETTLING_FAILURES_TO_PAUSE } from './margins.ts';

/** `all`: work goes on. `one`: one piece, to see whether it would. `none`: not now. */
export type Turn = 'all' | 'one' | 'none';

/** A target at which one kind of work is paused since it fails as a whole. */
export type Paused = {
  readonly target: string;
  /** Why the last attempt failed. Contains no secret. */
  readonly reason: string;
  /** Milliseconds since the first of these failures. */
  readonly forMs: number;
};

/**
 * One kind of work at each target. While a target fails as a whole, only a probe goes there, at
 * growing intervals; what waits is not even claimed, so that it takes no part in what others need.
 * Known to this process only: each replica learns for itself, by one attempt.
 */
export type Circuit = {
  /** Says what may go now; where that is a probe, it is given away with the answer. */
  turn(target: string): Turn;
  /** @param askedAtMs `clock.monotonicMs()` at the start of what failed: so long it was not answered */
  failed(target: string, reason: string, askedAtMs?: number): void;
  succeeded(target: string): void;
  /**
   * Ends a pause without a success of its work, on what was seen at `seenAtMs` (`clock.monotonicMs()`),
   * unless something has failed there since.
   */
  lift(target: string, seenAtMs: number): void;
  /** Something else at the target answered: the next turn is a probe, whenever it comes. */
  probeSoon(target: string): void;
  /** The answer of a call whose silence counts: until anything there answers, the target is away. */
  listen<Answer>(target: string, call: Promise<Answer>): Promise<Answer>;
  /** Milliseconds since a target began to fail as a whole, or to say nothing; 0 where it does neither. */
  awayMs(target: string): number;
  /** `clock.monotonicMs()` of its last answer; undefined where it never answered, or has failed since. */
  answeredAtMs(target: string): number | undefined;
  paused(): readonly Paused[];
};

/**
 * Endings at the targets, the settlings of their dead leases with the backend, and the look for names
 * that the sweep takes each second, which goes on whatever was seen before: it only tells. It listens
 * to endings too, which may be slow where the guard is well: while it answers a look it is not away.
 */
export type Circuits = {
  readonly ending: Circuit;
  readonly settling: Circuit;
  readonly looking: Circuit;
};

type CircuitParts = { readonly clock: Clock; readonly ids: Ids };

/** Each pause leaves a line when it begins and when it ends, and is shown by a gauge. */
export function createCircuits(
  parts: CircuitParts & { readonly log: Log; readonly metrics: Pick<Metrics, 'paused'> },
): Circuits {
  const telling = (work: 'end' | 'settle') => (target: string, reason: string | null) => {
    parts.metrics.paused(work, target, reason !== null);
    if (reason === null) parts.log.info({ target, work }, 'the pause is over');
    else parts.log.warn({ target, work, reason }, 'only probes go there until it works again');
  };
  return {
    // A guard fails as a whole or answers for each name.
    ending: createCircuit(parts, 1, telling('end')),
    // The backend may refuse one lease for a reason of its own.
    settling: createCircuit(parts, SETTLING_FAILURES_TO_PAUSE, telling('settle')),
    looking: createCircuit(parts, 1, () => undefined),
  };
}

/** A call that was not answered yet, and `clock.monotonicMs()` at its start. */
type Asked = { readonly target: string; readonly atMs: number };

type Failing = {
  failures: number;
  reason: string;
  readonly sinceMs: number;
  /** The last of these failures. */
  readonly lastMs: number;
  probeAtMs: number;
};

/**
 * @param pauseAfter failures in a row from which the target is taken to fail as a whole
 * @param tell of a pause that begins, with its reason, or that ends (null)
 */
export function createCircuit(
  { clock, ids }: CircuitParts,
  pauseAfter: number,
  tell: (target: string, reason: string | null) => void,
): Circuit {
  const failing = new Map<string, Failing>();
  const unanswered = new Set<Asked>();
  const answeredAtMs = new Map<string, number>();
  const isPaused = ({ failures }: Failing) => failures >= pauseAfter;
  const nextProbe = (failures: number) =>
    clock.monotonicMs() + retryInMs(failures - pauseAfter, ids.fraction());
  // What was asked before the last answer has been silent since then only.
  const silentSinceMs = ({ target, atMs }: Asked) =>
    Math.max(atMs, answeredAtMs.get(target) ?? atMs);
  return {
    turn(target) {
      const state = failing.get(target);
      if (state === undefined || !isPaused(state)) return 'all';
      if (clock.monotonicMs() < state.probeAtMs) return 'none';
      state.probeAtMs = nextProbe(state.failures);
      return 'one';
    },
    failed(target, reason, askedAtMs = clock.monotonicMs()) {
      const state = failing.get(target);
      const failures = (state?.failures ?? 0) + 1;
      const sinceMs = state?.sinceMs ?? silentSinceMs({ target, atMs: askedAtMs });
      const lastMs = clock.monotonicMs();
      failing.set(target, { failures, reason, sinceMs, lastMs, probeAtMs: nextProbe(failures) });
      if (failures === pauseAfter) tell(target, reason);
    },
    succeeded(target) {
      const state = failing.get(target);
      failing.delete(target);
      answeredAtMs.set(target, clock.monotonicMs());
      if (state !== undefined && isPaused(state)) tell(target, null);
    },
    lift(target, seenAtMs) {
      const state = failing.get(target);
      if (state === undefined || !isPaused(state) || seenAtMs <= state.lastMs) return;
      failing.delete(target);
      tell(target, null);
    },
    probeSoon(target) {
      const state = failing.get(target);
      if (state !== undefined) state.probeAtMs = clock.monotonicMs();
    },
    async listen(target, call) {
      const asked = { target, atMs: clock.monotonicMs() };
      unanswered.add(asked);
      try {
        return await call;
      } finally {
        unanswered.delete(asked);
      }
    },
    awayMs(target) {
      const state = failing.get(target);
      const silent = [...unanswered].filter((asked) => asked.target === target).map(silentSinceMs);
      const since = state !== undefined && isPaused(state) ? [state.sinceMs, ...silent] : silent;
      return since.length === 0 ? 0 : clock.monotonicMs() - Math.min(...since);
    },
    answeredAtMs: (target) => (failing.has(target) ? undefined : answeredAtMs.get(target)),
    paused: () =>
      [...failing].flatMap(([target, state]) =>
        isPaused(state)
          ? [{ target, reason: state.reason, forMs: clock.monotonicMs() - state.sinceMs }]
          : [],
      ),
  };
}
