import type { Lease } from '../ledger/lease.ts';
import type { InHand, Tally } from './end-due.ts';
import { endLeases } from './end-leases.ts';
import { SETTLINGS_PER_CLAIM } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Ends, behind the pass, leases whose death OpenBao alone proves, at a target that has a guard: what
 * the guard ends there does not wait for OpenBao.
 *
 * @param claimed what a hand claimed of them
 */
export function beginOnBackendsWord(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
  claimed?: readonly Lease[],
): void {
  const { onBackendsWord } = inHand;
  const count = (change: 1 | -1) => {
    const left = (onBackendsWord.get(target) ?? 0) + change;
    if (left > 0) onBackendsWord.set(target, left);
    else onBackendsWord.delete(target);
  };
  count(1);
  parts.background.run("end on the backend's word", () =>
    endOnBackendsWord(parts, inHand, target, tally, claimed).finally(() => count(-1)),
  );
}

/** Batch after batch, until one was not full. */
async function endOnBackendsWord(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
  claimed: readonly Lease[] | undefined,
): Promise<void> {
  let due = claimed;
  while (due !== undefined || !inHand.stopping) {
    if (due === undefined) {
      due = await parts.ledger.claimDue('end', target, SETTLINGS_PER_CLAIM, 'backend');
      tally.claimed += due.length;
    }
    tally.died += (await endLeases(parts, due)).length;
    if (due.length < SETTLINGS_PER_CLAIM) return;
    due = undefined;
  }
}
