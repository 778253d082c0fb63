import type { LedgerEpoch } from '../ledger/ledger.ts';
import type { KeptMark } from '../mint/ledger-mark.ts';

/**
 * Why this ledger must not be acted upon before somebody has looked; null where it may. The ledger
 * raises its epoch first and the backend's mark after it, and the mark is read first: a ledger that
 * is ahead is an ordinary one, a ledger that is behind has been set back.
 */
export function objectionTo(ours: LedgerEpoch, mark: KeptMark | 'none'): string | null {
  if (mark === 'none') return null;
  if (mark.ledger !== ours.ledger) return 'OpenBao knows another ledger of this installation';
  if (mark.cluster !== ours.cluster) return 'the ledger stands on another server than before';
  if (ours.epoch < mark.epoch) {
    return `the ledger is older (${ours.epoch}) than what OpenBao has seen of it (${mark.epoch})`;
  }
  return null;
}
