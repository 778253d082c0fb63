import type { Lease } from '../ledger/lease.ts';
import { retryInMs } from './backoff.ts';
import type { InHand, Tally } from './end-due.ts';
import { endLeases } from './end-leases.ts';
import { GUARD_AWAY_MS, SETTLINGS_PER_CLAIM } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { endAtBackend } from './settle-leases.ts';

/**
 * What goes on at a target whose guard fails, behind the pass: what needs no guard is ended as ever,
 * and once the guard is away OpenBao is asked to end the rest. Each at most once at a time.
 *
 * @param awayMs milliseconds that the guard has been away
 */
export function beginWithoutGuard(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
  awayMs: number,
): void {
  const begin = (busy: Set<string>, work: typeof endOnBackendsWord) => {
    if (busy.has(target)) return;
    busy.add(target);
    parts.background.run('end without the guard', () =>
      work(parts, inHand, target, tally).finally(() => busy.delete(target)),
    );
  };
  begin(inHand.onBackendsWord, endOnBackendsWord);
  if (awayMs >= GUARD_AWAY_MS) begin(inHand.forGuard, endForGuard);
}

/** Leases whose death OpenBao alone proves, batch after batch. */
async function endOnBackendsWord(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<void> {
  while (!inHand.stopping) {
    const due = await parts.ledger.claimDue('end', target, SETTLINGS_PER_CLAIM, 'backend');
    tally.claimed += due.length;
    tally.died += (await endLeases(parts, due)).length;
    if (due.length < SETTLINGS_PER_CLAIM) return;
  }
}

/**
 * One batch a pass of what the guard has to end: OpenBao is asked, for the effect only, and each waits
 * for its next attempt. Where OpenBao does not reach the target either, one lease as a probe.
 */
async function endForGuard(
  parts: BrokerParts,
  inHand: InHand,
  target: string,
  tally: Tally,
): Promise<void> {
  const turn = parts.circuits.settling.turn(target);
  if (inHand.stopping || turn === 'none') return;
  const most = turn === 'one' ? 1 : SETTLINGS_PER_CLAIM;
  const due = await parts.ledger.claimDue('end', target, most, 'guard');
  tally.claimed += due.length;
  await endAtBackend(
    parts,
    due.filter(({ backendLeaseId }) => backendLeaseId !== null),
  );
  await parts.ledger.recordLate(due.map((lease) => unseen(parts, lease)));
}

/** The guard's own words, so that the record does not change with who made the attempt. */
function unseen(parts: BrokerParts, lease: Lease) {
  const { target } = lease.snapshot;
  parts.metrics.late(target, 'end', 'target_unreachable');
  const paused = parts.circuits.ending.paused().find((one) => one.target === target);
  return {
    leaseId: lease.id,
    reason: paused?.reason ?? lease.lateReason ?? 'the guard does not answer',
    retryInMs: retryInMs(lease.attempts, parts.ids.fraction()),
    targetOid: lease.targetOid,
  };
}
