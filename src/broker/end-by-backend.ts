import type { Death } from '../ledger/ledger.ts';
import type { Lease } from '../ledger/lease.ts';
import { commitEndings } from './commit-endings.ts';
import { grouped } from './grouped.ts';
import type { BrokerParts } from './parts.ts';
import { endAtBackend, ENDED_WITH_TOKEN, UNKNOWN_TO_BACKEND } from './settle-leases.ts';

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
  for (const { lease, note } of outcome.done) {
    const unseen = NOBODY_SAW_IT.get(note);
    if (unseen !== undefined) tellUnseen(parts, lease, unseen);
  }
  const late = outcome.notYet.map(({ lease, reason, retryMs }) => ({
    leaseId: lease.id,
    state: 'revoking' as const,
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

const BACKEND_DID_NOT_KNOW = 'the backend did not know its lease: nobody saw it end';

/** Notes of a death that stands on no word of the backend, and why it does not. */
const NOBODY_SAW_IT: ReadonlyMap<string, string> = new Map([
  [UNKNOWN_TO_BACKEND, BACKEND_DID_NOT_KNOW],
  [ENDED_WITH_TOKEN, 'the id of its backend lease never came: nobody saw it end'],
]);

/**
 * The backend forgets a lease that it ended, and one that was taken from it by force or by a restore:
 * its user may live. An earlier attempt tells nothing, since a restore mostly follows an outage. Nor
 * does the end of a token, since the backend may fail to end the lease that hangs on it.
 */
export function tellUnseen(
  parts: BrokerParts,
  { id, snapshot: { target } }: Lease,
  why = BACKEND_DID_NOT_KNOW,
): void {
  parts.log.error({ lease: id, target }, `${why}; look at the target`);
}

function deathOnWord(lease: Lease, note: string): Death {
  const asked = note === UNKNOWN_TO_BACKEND ? 'sys/leases/lookup' : 'sys/leases/revoke';
  const evidence = {
    kind: 'backend',
    asked: lease.backendLeaseId === null ? null : asked,
    answer: note,
  };
  const common = { leaseId: lease.id, evidence, residue: null, targetOid: null };
  const unseen = NOBODY_SAW_IT.get(note);
  if (unseen !== undefined && lease.revocability !== 'static') {
    return { ...common, revocability: 'expiry', revocabilityReason: unseen };
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
