import type { DueTarget } from '../ledger/ledger.ts';
import { LOOK_FRESH_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** What the ledger said is due: each target is counted up to `limit`, asked at `clock.monotonicMs()`. */
type Counted = {
  readonly due: readonly DueTarget[];
  readonly limit: number;
  readonly askedAtMs: number;
};

/**
 * Ends the pauses of endings that no ending of this replica will end: nothing waits there for the guard
 * any more, as when another replica's probe was the first to succeed, and the guard has just answered
 * a look; or the target has left the catalogue, and what is left there is OpenBao's to end.
 */
export function liftPauses(
  { circuits, clock, targets }: Pick<BrokerParts, 'circuits' | 'clock' | 'targets'>,
  { due, limit, askedAtMs }: Counted,
): void {
  const { ending, looking } = circuits;
  // Of more than are counted nobody knows whether the guard has to end some.
  const waits = due.filter(({ toProve, backlog }) => toProve || backlog >= limit);
  const waiting = new Set(waits.map(({ target }) => target));
  for (const { target } of ending.paused()) {
    if (targets.access(target) === undefined) {
      ending.lift(target, Infinity);
      continue;
    }
    const lookedAtMs = looking.answeredAtMs(target) ?? -Infinity;
    if (waiting.has(target) || clock.monotonicMs() - lookedAtMs > LOOK_FRESH_MS) continue;
    ending.lift(target, Math.min(askedAtMs, lookedAtMs));
  }
}
