import type { Lease } from '../ledger/lease.ts';
import type { Ending } from '../target/target-access.ts';
import { RESIDUE_RETRY_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** Tries again to drop disabled roles that something at their target depended on. */
export async function retryResidue(parts: BrokerParts, limit: number): Promise<void> {
  for (const lease of await parts.ledger.claimResidue(limit)) await retryOneResidue(parts, lease);
}

export async function retryOneResidue(parts: BrokerParts, lease: Lease): Promise<void> {
  const access = parts.targets.access(lease.snapshot.target);
  const residue = access
    ? await residueAfter(() => access.guard.end([lease.credentialName]), lease.residue)
    : lease.residue;
  await parts.ledger.recordResidue(lease.id, residue, RESIDUE_RETRY_MS);
}

async function residueAfter(
  end: () => Promise<readonly Pick<Ending, 'ended' | 'residue'>[]>,
  before: string | null,
): Promise<string | null> {
  try {
    const [ending] = await end();
    // What does not end, or is not decided, says nothing of what is left.
    return ending?.ended === true ? ending.residue : before;
  } catch {
    // Out of reach: nothing is known, so the residue stands.
    return before;
  }
}
