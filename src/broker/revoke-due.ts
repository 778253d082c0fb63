import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { Lease } from '../ledger/lease.ts';
import type { SweepPass } from './broker.ts';
import { endLeases } from './end-leases.ts';
import { endOverdueNames } from './end-overdue-names.ts';
import { NAMES_PER_CALL, PASS_WAIT_MS, RESIDUES_PER_PASS, TASKS_PER_PASS } from './margins.ts';
import { grouped } from './grouped.ts';
import type { BrokerParts } from './parts.ts';
import { retryResidue } from './retry-residue.ts';
import { settleLeases } from './settle-leases.ts';

type Tally = { claimed: number; died: number; settled: number; tasksTimedOut: number };

/**
 * One bounded pass of the sweep: what the ledger says is due, and, without the ledger's help, the
 * names that the targets say are past their own deadline. A slow target does not hold up the
 * pass: after a bounded wait its endings go on behind it, with their claims.
 */
export async function revokeDue(parts: BrokerParts): Promise<SweepPass> {
  const tally: Tally = { claimed: 0, died: 0, settled: 0, tasksTimedOut: 0 };
  const [byLedger, byName] = await Promise.allSettled([
    endWhatLedgerSays(parts, tally),
    endOverdueNames(parts),
  ]);
  for (const side of [byLedger, byName]) {
    if (side.status === 'rejected' && !(side.reason instanceof LedgerUnreachable)) {
      throw side.reason;
    }
  }
  if (byLedger.status === 'rejected') parts.log.warn({}, 'the ledger cannot be reached');
  return {
    ...tally,
    late: Math.max(0, tally.claimed - tally.died - tally.settled),
    endedByName: byName.status === 'fulfilled' ? byName.value : 0,
    more: tally.claimed >= batch(parts),
  };
}

function batch(parts: BrokerParts): number {
  return parts.catalogue.current().limits.sweep_batch;
}

async function endWhatLedgerSays(parts: BrokerParts, tally: Tally): Promise<void> {
  tally.tasksTimedOut = await parts.ledger.endTimedOutTasks(TASKS_PER_PASS);
  const due = await parts.ledger.claimDue(batch(parts));
  tally.claimed = due.length;
  const work = [
    ...perTarget(due, 'revoking').map((group) => killThenSettle(parts, group, tally)),
    ...perTarget(due, 'revoked').map(async (group) => {
      tally.settled += await settleLeases(parts, group);
    }),
    retryResidue(parts, RESIDUES_PER_PASS),
  ];
  await waitBounded(parts, work);
}

/** Groups small enough that one poisoned name delays few others. */
function perTarget(due: readonly Lease[], state: Lease['state']): readonly (readonly Lease[])[] {
  const leases = due.filter((lease) => lease.state === state);
  const groups: Lease[][] = [];
  for (const group of grouped(leases, (lease) => lease.snapshot.target).values()) {
    for (let at = 0; at < group.length; at += NAMES_PER_CALL) {
      groups.push(group.slice(at, at + NAMES_PER_CALL));
    }
  }
  return groups;
}

async function killThenSettle(
  parts: BrokerParts,
  leases: readonly Lease[],
  tally: Tally,
): Promise<void> {
  const died = await endLeases(parts, leases);
  tally.died += died.length;
  if (died.length > 0) parts.background.run('settle', () => settleLeases(parts, died));
}

async function waitBounded(parts: BrokerParts, work: readonly Promise<void>[]): Promise<void> {
  const all = Promise.all(work);
  parts.background.run('sweep', () => all);
  const waited = new AbortController();
  await Promise.race([all, parts.clock.sleep(PASS_WAIT_MS, waited.signal)]);
  waited.abort();
}
