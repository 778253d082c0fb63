import { within } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import type { Lease } from '../ledger/lease.ts';
import { LIVE_STATES } from '../ledger/lease-states.ts';
import { endOnce, endUntilDead } from './end-until-dead.ts';
import { withLedger } from './ledger-faults.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';
import { retryOneResidue } from './retry-residue.ts';
import { settleLeases } from './settle-leases.ts';

/**
 * An operator has what is late tried now, whatever its next attempt and whatever is paused at its
 * target: its end, its settling, or what it left behind. A lease that is closed is answered as it
 * is; one that is not due is refused, since ending it early is a revocation.
 */
export function retryLease(
  parts: BrokerParts,
  caller: OperatorCaller,
  leaseId: string,
  reason: string,
  waitSeconds: number,
): Promise<Result<Lease, Failure>> {
  return withPermission(caller, 'leases.revoke', () =>
    withLedger<Lease>(async () => {
      const lease = await claim(parts, leaseId, caller.name, reason);
      if (!lease) return fail(failure('not_found', 'no such lease', { field: 'lease_id' }));
      if (isLive(lease)) {
        const detail = 'its deadline lies ahead and nobody ended it; to end it now, revoke it';
        return fail(failure('lease_not_due', detail, { field: 'lease_id' }));
      }
      await inTime(parts, tryNow(parts, lease, waitSeconds), waitSeconds);
      return succeed((await parts.ledger.lease(leaseId)) ?? lease);
    }),
  );
}

/** What is past its deadline and was never claimed is fenced here. */
async function claim(
  parts: BrokerParts,
  leaseId: string,
  by: string,
  reason: string,
): Promise<Lease | null> {
  const lease = await parts.ledger.claimAgain(leaseId, by, reason);
  if (!lease || !isLive(lease) || lease.deadline > (await parts.ledger.now())) return lease;
  const end = { leaseId, cause: 'deadline', reason: null, by: 'mayfly' } as const;
  return (await parts.ledger.endLease(end))?.lease ?? null;
}

function isLive({ state }: Lease): boolean {
  return state !== 'revoking' && LIVE_STATES.some((live) => live === state);
}

async function tryNow(parts: BrokerParts, lease: Lease, waitSeconds: number): Promise<void> {
  if (lease.state === 'revoking') await endNow(parts, lease, waitSeconds);
  else if (lease.state === 'revoked') await settleLeases(parts, [lease]);
  else if (lease.residue !== null) await retryOneResidue(parts, lease);
}

/** The first attempt goes whatever is paused: an operator's is as good a probe as any. */
async function endNow(parts: BrokerParts, lease: Lease, waitSeconds: number): Promise<void> {
  await endOnce(parts, [lease]);
  const after = await parts.ledger.lease(lease.id);
  if (after?.state === 'revoking') await endUntilDead(parts, [after], waitSeconds);
}

/** What takes longer than the caller waits goes on behind the answer. */
async function inTime(parts: BrokerParts, work: Promise<void>, seconds: number): Promise<void> {
  parts.background.run('retry', () => work);
  await within(parts.clock, seconds * 1000, work);
}
