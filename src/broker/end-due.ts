import type { Lease } from '../ledger/lease.ts';
import { beginWithoutGuard } from './end-due-without-guard.ts';
import { endLeases } from './end-leases.ts';
import { beginOnBackendsWord } from './end-on-backends-word.ts';
import { endingIsOpen } from './guard-away.ts';
import { ENDING_HANDS, FLOOD_FRESH_MS, GUARD_AWAY_MS, SETTLINGS_PER_CLAIM } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { settleLeases } from './settle-leases.ts';

/** What a pass has begun so far, some of it behind itself. `settling`: dead leases that were begun. */
export type Tally = { claimed: number; died: number; settling: number };

/**
 * The work at the targets that this process has in hand. Each target has its own: a slow one holds
 * up itself alone. What is in hand is bounded by a batch a target and kind of work, whatever waits.
 */
export type InHand = {
  readonly ending: Set<string>;
  readonly settling: Set<string>;
  /** How many pieces of work go on behind the hands with what needs OpenBao's word alone. */
  readonly onBackendsWord: Map<string, number>;
  /** Of how many leases that their guard never saw OpenBao is being asked, behind the hands. */
  readonly unseen: Map<string, number>;
  /** While a guard is away: what OpenBao ends in its place. */
  readonly forGuard: Set<string>;
  /** `clock.monotonicMs()` of each target's last claim that left some behind. */
  readonly floods: Map<string, number>;
  /** Residues are being tried again, at whichever targets. */
  residue: boolean;
  /** The process is going to end: nothing further is claimed. */
  stopping: boolean;
};

export function nothingInHand(): InHand {
  return {
    ending: new Set(),
    settling: new Set(),
    onBackendsWord: new Map(),
    unseen: new Map(),
    forGuard: new Set(),
    floods: new Map(),
    residue: false,
    stopping: false,
  };
}

/** True while the ledger names more at this target than is in hand: its guard has enough to do. */
export function isFlooded(parts: BrokerParts, inHand: InHand, target: string): boolean {
  const at = inHand.floods.get(target);
  return at !== undefined && parts.clock.monotonicMs() - at < FLOOD_FRESH_MS;
}

/**
 * Ends what is due at one target, batch after batch, until nothing is left to claim, or while its
 * guard fails what goes without it. An earlier pass that is still at it is not disturbed.
 */
export async function endDue(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<void> {
  const busy = inHand.ending.has(target);
  if (!busy) await endInHands(parts, inHand, target, tally);
  if (parts.targets.access(target) === undefined) return;
  const { ending, looking } = parts.circuits;
  // Of endings that are under way nobody knows yet whether they fail; looks are answered at once.
  const awayMs = Math.max(busy ? 0 : ending.awayMs(target), looking.awayMs(target));
  if (endingIsOpen(parts, target) && awayMs < GUARD_AWAY_MS) return;
  beginWithoutGuard(parts, inHand, target, tally, awayMs);
}

/** Several hands share the batch, so that the target works while the ledger is asked and told. */
async function endInHands(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<void> {
  const turn = endingIsOpen(parts, target) ? 'all' : parts.circuits.ending.turn(target);
  if (turn === 'none') return;
  inHand.ending.add(target);
  try {
    if (turn === 'one' && !(await probe(parts, inHand, target, tally))) return;
    const hands = Array.from({ length: ENDING_HANDS }, () => oneHand(parts, inHand, target, tally));
    const done = await Promise.allSettled(hands);
    for (const hand of done) if (hand.status === 'rejected') throw hand.reason;
  } finally {
    inHand.ending.delete(target);
    inHand.floods.delete(target);
  }
}

/** One lease of a target whose guard failed as a whole; true where the others may follow. */
async function probe(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<boolean> {
  const due = await parts.ledger.claimDue('end', target, 1, 'guard');
  // All wait for their next attempt, or another replica has them: the first that is due is the probe.
  if (due.length === 0) parts.circuits.ending.probeSoon(target);
  tally.claimed += due.length;
  const died = await endLeases(parts, due, { settledBy: 'anyone', behind: inHand.unseen });
  tally.died += died.length;
  return endingIsOpen(parts, target);
}

async function oneHand(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<void> {
  const batch = Math.ceil(parts.catalogue.current().limits.sweep_batch / ENDING_HANDS);
  while (!inHand.stopping && endingIsOpen(parts, target)) {
    // Apart only while it must be: `proof` is in no index.
    const endedBy = inHand.onBackendsWord.has(target) ? 'guard' : undefined;
    const due = await parts.ledger.claimDue('end', target, batch, endedBy);
    if (due.length === 0) return;
    tally.claimed += due.length;
    const storm = due.length >= batch;
    if (storm) inHand.floods.set(target, parts.clock.monotonicMs());
    const own = handOver(parts, inHand, target, tally, due);
    // In a storm deaths go first: book-keeping is left to whoever is free, later.
    const settledBy = storm ? 'anyone' : 'us';
    const died = await endLeases(parts, own, { settledBy, behind: inHand.unseen });
    tally.died += died.length;
    if (!storm) {
      tally.settling += died.length;
      if (died.length > 0) parts.background.run('settle', () => settleLeases(parts, died));
      return;
    }
  }
}

/**
 * What the hand ends itself. Where there is a guard the rest, which OpenBao ends, goes on behind: a hand
 * that waited for it could claim nothing of what the guard ends. Until it is over no hand claims more of
 * the kind, so that what is in hand is a batch at most.
 */
function handOver(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
  due: readonly Lease[],
): readonly Lease[] {
  if (parts.targets.access(target) === undefined) return due;
  const rest = due.filter(({ snapshot }) => snapshot.proof !== 'target');
  if (rest.length > 0) beginOnBackendsWord(parts, inHand, target, tally, rest);
  return due.filter(({ snapshot }) => snapshot.proof === 'target');
}

/**
 * Settles the dead leases of one target with the backend, batch after batch; only one batch while
 * there is more to end here. Nobody's death waits for it.
 */
export async function settleDue(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<void> {
  if (inHand.settling.has(target)) return;
  inHand.settling.add(target);
  try {
    for (;;) {
      const turn = parts.circuits.settling.turn(target);
      if (turn === 'none') return;
      const most = turn === 'one' ? 1 : SETTLINGS_PER_CLAIM;
      const dead = await parts.ledger.claimDue('settle', target, most);
      tally.settling += dead.length;
      await settleLeases(parts, dead);
      if (dead.length < most) return;
      if (inHand.stopping || isFlooded(parts, inHand, target)) return;
    }
  } finally {
    inHand.settling.delete(target);
  }
}
