import type { Lease } from '../ledger/lease.ts';
import type { Lateness } from '../ledger/ledger.ts';
import { retryInMs } from './backoff.ts';
import type { InHand, Tally } from './end-due.ts';
import { beginOnBackendsWord } from './end-on-backends-word.ts';
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
  if (!inHand.onBackendsWord.has(target)) beginOnBackendsWord(parts, inHand, target, tally);
  if (awayMs < GUARD_AWAY_MS || inHand.forGuard.has(target)) return;
  inHand.forGuard.add(target);
  parts.background.run('end without the guard', () =>
    endForGuard(parts, inHand, target, tally).finally(() => inHand.forGuard.delete(target)),
  );
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
function unseen(parts: BrokerParts, lease: Lease): Lateness {
  const { target } = lease.snapshot;
  parts.metrics.late(target, 'end', 'target_unreachable');
  const paused = parts.circuits.ending.paused().find((one) => one.target === target);
  return {
    leaseId: lease.id,
    state: 'revoking',
    reason: paused?.reason ?? lease.lateReason ?? 'the guard does not answer',
    retryInMs: retryInMs(lease.attempts, parts.ids.fraction()),
    targetOid: lease.targetOid,
  };
}
