import type { Death } from '../ledger/ledger.ts';
import type { Lease } from '../ledger/lease.ts';
import { commitEndings } from './commit-endings.ts';
import { grouped } from './grouped.ts';
import type { BrokerParts } from './parts.ts';
import { endAtBackend, UNKNOWN_TO_BACKEND } from './settle-leases.ts';

/** Without a guard the backend's sync revoke is what kills, and its word is all there is. */
export async function endByBackend(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
): Promise<readonly Lease[]> {
  if (leases.length === 0) return [];
  const outcome = await endAtBackend(parts, leases, {
    probe: probeOf(parts, target, leases),
    lookFirst: true,
  });
  const deaths = outcome.done.map(({ lease, note }) => deathOnWord(lease, note));
  const unseen = outcome.done.filter(({ lease, note }) => nobodySawIt(lease, note));
  for (const { lease } of unseen) {
    parts.log.error(
      { lease: lease.id, target },
      'the backend had lost a lease: look at the target',
    );
  }
  const late = outcome.notYet.map(({ lease, reason, retryMs }) => ({
    leaseId: lease.id,
    reason,
    retryInMs: retryMs,
    targetOid: null,
  }));
  const died = await commitEndings(parts, 'us', deaths, late);
  const notes = new Map(outcome.done.map(({ lease, note }) => [lease.id, note]));
  for (const [note, group] of grouped(died, ({ id }) => notes.get(id) ?? UNKNOWN_TO_BACKEND)) {
    const settled = await parts.ledger.recordSettled(
      group.map(({ id }) => id),
      note,
    );
    parts.metrics.settled(settled.length);
  }
  return died;
}

/**
 * The backend forgets a lease that it ended, and one that was taken from it by force or by a restore:
 * its user may live. Where an attempt of ours came before, the lease was most likely ended by that.
 */
function nobodySawIt(lease: Lease, note: string): boolean {
  return note === UNKNOWN_TO_BACKEND && lease.attempts === 0;
}

function deathOnWord(lease: Lease, note: string): Death {
  const asked = note === UNKNOWN_TO_BACKEND ? 'sys/leases/lookup' : 'sys/leases/revoke';
  const evidence = {
    kind: 'backend',
    asked: lease.backendLeaseId === null ? null : asked,
    answer: note,
  };
  const common = { leaseId: lease.id, evidence, residue: null, targetOid: null };
  if (nobodySawIt(lease, note) && lease.revocability !== 'static') {
    const revocabilityReason = 'the backend did not know its lease: nobody saw it end';
    return { ...common, revocability: 'expiry', revocabilityReason };
  }
  return lease.revocability === 'proven'
    ? {
        ...common,
        revocability: 'revocable',
        revocabilityReason: 'the target has no guard: the backend says so',
      }
    : { ...common, revocability: lease.revocability, revocabilityReason: null };
}

/** These leases settle in one step with their end, so it is here that a paused target is probed. */
function probeOf(parts: BrokerParts, target: string, leases: readonly Lease[]): Lease | undefined {
  const [first] = leases.filter((lease) => lease.backendLeaseId !== null);
  return first && parts.circuits.settling.turn(target) === 'one' ? first : undefined;
}
