import type { Death, Lateness } from '../ledger/ledger.ts';
import type { Lease } from '../ledger/lease.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Commits what was seen of these endings; with `settledBy: 'anyone'` this replica does not keep the
 * dead for itself to settle. Answers those that moved to `revoked` now.
 */
export async function commitEndings(
  parts: BrokerParts,
  settledBy: 'us' | 'anyone',
  deaths: readonly Death[],
  late: readonly Lateness[],
): Promise<readonly Lease[]> {
  const [died] = await Promise.all([
    deaths.length > 0 ? parts.ledger.recordDeaths(deaths, settledBy) : [],
    late.length > 0 ? parts.ledger.recordLate(late) : undefined,
  ]);
  for (const lease of died) countDeath(parts, lease);
  return died;
}

function countDeath(parts: BrokerParts, lease: Lease): void {
  const at = lease.revokedAt?.getTime() ?? 0;
  parts.metrics.died({
    cause: lease.endCause ?? 'unknown',
    revocability: lease.revocability,
    afterFence: (at - (lease.fencedAt?.getTime() ?? at)) / 1000,
    afterDeadline: (at - lease.deadline.getTime()) / 1000,
  });
}
