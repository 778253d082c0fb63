import type { Lease } from '../ledger/lease.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Ends one credential with nothing but its name and backend lease id: for when the ledger cannot
 * be told. Its row is still `minting` and is taken up by whoever reaches the ledger next.
 */
export async function endByName(
  parts: BrokerParts,
  lease: Lease,
  backendLeaseId: string | null,
): Promise<void> {
  const access = parts.targets.access(lease.snapshot.target);
  if (access) await access.guard.end([lease.credentialName]);
  if (backendLeaseId !== null) await parts.reaper.revoke(backendLeaseId);
}
