import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { Ask } from './ask.ts';
import { GUARD_AWAY_MS, GUARD_AWAY_RETRY_SECONDS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Why nothing is minted where this replica could not end it; undefined where it could, as far as the
 * sweep has seen. A scope whose death the backend alone proves needs no guard.
 */
export function guardAway(
  { circuits, backlog }: Pick<BrokerParts, 'circuits' | 'backlog'>,
  { scope, target }: Pick<Ask, 'scope' | 'target'>,
): Failure | undefined {
  if (scope.proof !== 'target') return undefined;
  // A pause of endings is over when one works: without any that waits nobody finds that out.
  const ending = backlog.waitsForGuard(target.name) ? circuits.ending.awayMs(target.name) : 0;
  const away = Math.max(ending, circuits.looking.awayMs(target.name));
  if (away < GUARD_AWAY_MS) return undefined;
  return failure(
    'guard_unreachable',
    `nothing can be ended at this target for ${Math.floor(away / 1000)} s now, so nothing is made there`,
    { retryAfterSeconds: GUARD_AWAY_RETRY_SECONDS },
  );
}

/**
 * True while endings go on at this target: its guard does not fail as a whole. One that was taken away,
 * as by a reload, pauses nothing any more.
 */
export function endingIsOpen(
  { circuits, targets }: Pick<BrokerParts, 'circuits' | 'targets'>,
  target: string,
): boolean {
  if (targets.access(target) === undefined) return true;
  return !circuits.ending.paused().some((paused) => paused.target === target);
}
