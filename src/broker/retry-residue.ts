import type { Lease } from '../ledger/lease.ts';
import type { TargetAccess } from '../target/target-access.ts';
import type { InHand } from './end-due.ts';
import { problemOf } from './end-leases.ts';
import { grouped } from './grouped.ts';
import { RESIDUE_RETRY_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Tries again to drop disabled roles that something at their target depended on. Does nothing where
 * an earlier run of this process is still at it: at a slow target it would only claim what cannot
 * be tried before its claim lapses.
 */
export async function retryResidue(
  parts: BrokerParts,
  inHand: InHand,
  limit: number,
): Promise<void> {
  if (inHand.residue) return;
  inHand.residue = true;
  try {
    const due = await parts.ledger.claimResidue(limit);
    const byTarget = grouped(due, (lease) => lease.snapshot.target);
    const done = await Promise.allSettled(
      [...byTarget].map(([target, leases]) => retryAtTarget(parts, target, leases)),
    );
    for (const part of done) if (part.status === 'rejected') throw part.reason;
  } finally {
    inHand.residue = false;
  }
}

/** One after another; while endings are paused there, all but a probe are put off untried. */
async function retryAtTarget(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
): Promise<void> {
  for (const lease of leases) {
    if (parts.circuits.ending.turn(target) !== 'none') await retryOneResidue(parts, lease);
    // This ends its claim, and its turn comes again.
    else await parts.ledger.recordResidue(lease.id, lease.residue, RESIDUE_RETRY_MS);
  }
}

/** Whatever is paused. */
export async function retryOneResidue(parts: BrokerParts, lease: Lease): Promise<void> {
  const access = parts.targets.access(lease.snapshot.target);
  const residue = access ? await residueAfter(parts, access, lease) : lease.residue;
  await parts.ledger.recordResidue(lease.id, residue, RESIDUE_RETRY_MS);
}

async function residueAfter(
  parts: BrokerParts,
  access: TargetAccess,
  lease: Lease,
): Promise<string | null> {
  const { ending: circuit } = parts.circuits;
  const { target } = lease.snapshot;
  const askedAtMs = parts.clock.monotonicMs();
  try {
    const [ending] = await access.guard.end([lease.credentialName]);
    circuit.succeeded(target);
    // What does not end, or is not decided, says nothing of what is left.
    return ending?.ended === true ? ending.residue : lease.residue;
  } catch (error) {
    // Out of reach: nothing is known, so the residue stands.
    circuit.failed(target, problemOf(error), askedAtMs);
    return lease.residue;
  }
}
