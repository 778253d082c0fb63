import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { DueTarget } from '../ledger/ledger.ts';
import { BACKLOG_LOW_DIVISOR, BACKLOG_RETRY_SECONDS } from './margins.ts';

/**
 * How much waits for its death at each target, as this replica's sweep last counted it in the
 * ledger. An exchange looks here, so that it costs nothing: while more waits than can be ended in a
 * few seconds, ending goes before minting. What was refused once is minted again when most of the
 * backlog is gone: just below its limit all are as busy as just above it.
 */
export type Backlog = {
  /** A pass has counted, each target up to `limit`. What it does not name has nothing waiting. */
  counted(targets: readonly DueTarget[], limit: number): void;
  /** Why nothing is minted at this target now; undefined where it may be. */
  refusal(target: string): Failure | undefined;
  /**
   * Something that its guard has to end was not dead there when the last pass counted: also what was
   * claimed, or waits for its next attempt. At a guard that fails that is most of the time.
   */
  waitsForGuard(target: string): boolean;
};

export function createBacklog(): Backlog {
  let flooded: ReadonlySet<string> = new Set();
  let toProve: ReadonlySet<string> = new Set();
  return {
    waitsForGuard: (target) => toProve.has(target),
    counted(targets, limit) {
      toProve = new Set(targets.filter((one) => one.toProve).map(({ target }) => target));
      const low = limit / BACKLOG_LOW_DIVISOR;
      const over = targets.filter(
        ({ target, backlog }) => backlog > (flooded.has(target) ? low : limit),
      );
      flooded = new Set(over.map(({ target }) => target));
    },
    refusal(target) {
      if (!flooded.has(target)) return undefined;
      return failure(
        'revocation_backlog',
        'more credentials wait for their end at this target than can be ended at once; ask again',
        { retryAfterSeconds: BACKLOG_RETRY_SECONDS },
      );
    },
  };
}
