import type { Lease } from '../ledger/lease.ts';
import { endOnce } from './end-until-dead.ts';
import type { BrokerParts } from './parts.ts';
import { nowOrLater } from './tell-later.ts';

/**
 * Ends a credential that was made but whose record may or may not have been committed, so that
 * nobody was answered (invariant I1). It dies by its name at once, without the ledger's help. The
 * ledger is told as soon as it can be reached: otherwise a row that did reach `active` would be
 * shown as alive until its deadline, and one that did not would lack OpenBao's lease id.
 */
export async function endUnrecorded(
  parts: BrokerParts,
  lease: Lease,
  backendLeaseId: string,
): Promise<void> {
  const access = parts.targets.access(lease.snapshot.target);
  const [byName] = await Promise.allSettled([
    access ? access.guard.end([lease.credentialName]) : parts.reaper.revoke(backendLeaseId),
    tellLedger(parts, lease, backendLeaseId),
  ]);
  // The ledger's side has its own attempts, and the sweep; this one is worth a line of the log.
  if (byName.status === 'rejected') throw byName.reason;
}

async function tellLedger(parts: BrokerParts, lease: Lease, backendLeaseId: string): Promise<void> {
  const tell = async () => {
    const fenced = await fence(parts, lease.id, backendLeaseId);
    if (fenced) await endOnce(parts, [fenced]);
  };
  await nowOrLater(parts, 'tell of a mint that was not recorded', tell);
}

/** From `minting` it goes straight to `revoking`; from `active` by an ending of its own. */
async function fence(
  parts: BrokerParts,
  leaseId: string,
  backendLeaseId: string,
): Promise<Lease | null> {
  const lease = await parts.ledger.recordMint({
    leaseId,
    outcome: 'unknown',
    backendLeaseId,
    credentialSha256: null,
  });
  if (lease.state !== 'active') return lease;
  const ended = await parts.ledger.endLease({
    leaseId,
    cause: 'mint_unknown',
    reason: 'the answer of the ledger was lost, so nobody was answered',
    by: 'mayfly',
  });
  return ended?.lease ?? null;
}
