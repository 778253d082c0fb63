import type { Lease } from '../ledger/lease.ts';
import { eachBounded } from './each-bounded.ts';
import { SETTLINGS_AT_A_TIME } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Has OpenBao end what the guard cannot: it reaches the target with a login of its own, which works
 * where the guard's was locked out or lost its rights. For the effect only: nothing is dead in the
 * ledger before the guard or, at its deadline, its own end says so. Nobody waits for it, and where
 * OpenBao does not reach the target either only a probe goes there.
 */
export function endWithoutGuard(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
): void {
  const ids = leases.flatMap(({ backendLeaseId }) => backendLeaseId ?? []);
  if (ids.length === 0) return;
  parts.background.run('end without the guard', () =>
    eachBounded(ids, SETTLINGS_AT_A_TIME, async (id) => {
      const { settling } = parts.circuits;
      if (settling.turn(target) === 'none') return;
      const revoked = await parts.reaper.revoke(id);
      if (revoked.ok) settling.succeeded(target);
      else settling.failed(target, revoked.failure.detail);
    }),
  );
}
