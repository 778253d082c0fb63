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

/** `settling`: dead leases whose settling was begun. */
type Tally = {
  claimed: number;
  died: number;
  settling: number;
  tasksTimedOut: number;
  endedByName: number;
};

/** What earlier passes of this process are still at, since it hangs: it is not begun again. */
export type UnderWay = {
  /** Targets that are being asked for names. */
  readonly looking: Set<string>;
  /** The ledger is being asked. */
  asking: boolean;
};

/**
 * One bounded pass of the sweep: what the ledger says is due, and, without the ledger's help, the
 * names that the targets say are past their own deadline. A slow target, a slow backend and a
 * ledger that says nothing do not hold up the pass: after a bounded wait its work goes on behind
 * it, and the next pass looks for names on time.
 */
export async function revokeDue(parts: BrokerParts, underWay: UnderWay): Promise<SweepPass> {
  const tally: Tally = { claimed: 0, died: 0, settling: 0, tasksTimedOut: 0, endedByName: 0 };
  await Promise.all([
    waitBounded(parts, 'ledger', [askLedger(parts, underWay, tally)]),
    waitBounded(parts, 'names', [endOverdueNames(parts, underWay.looking, tally)]),
  ]);
  const { claimed, died, settling } = tally;
  return {
    ...tally,
    late: Math.max(0, claimed - died - settling),
    more: claimed >= batch(parts),
  };
}

async function askLedger(parts: BrokerParts, underWay: UnderWay, tally: Tally): Promise<void> {
  if (underWay.asking) return;
  underWay.asking = true;
  const sides = await Promise.allSettled([
    endWhatLedgerSays(parts, tally),
    markTimedOutTasks(parts, tally),
  ]);
  underWay.asking = false;
  const faults = sides.filter((side) => side.status === 'rejected');
  const unexpected = faults.find(({ reason }) => !(reason instanceof LedgerUnreachable));
  if (unexpected) throw unexpected.reason;
  if (faults.length > 0) parts.log.warn({}, 'the ledger cannot be reached');
}

async function markTimedOutTasks(parts: BrokerParts, tally: Tally): Promise<void> {
  tally.tasksTimedOut = await parts.ledger.endTimedOutTasks(TASKS_PER_PASS);
}

function batch(parts: BrokerParts): number {
  return parts.catalogue.current().limits.sweep_batch;
}

async function endWhatLedgerSays(parts: BrokerParts, tally: Tally): Promise<void> {
  const due = await parts.ledger.claimDue(batch(parts));
  tally.claimed = due.length;
  // Book-keeping goes on behind the pass: nobody's death waits for OpenBao.
  const dead = due.filter((lease) => lease.state === 'revoked');
  tally.settling = dead.length;
  parts.background.run('settle', () => settleLeases(parts, dead));
  parts.background.run('residue', () => retryResidue(parts, RESIDUES_PER_PASS));
  const living = due.filter((lease) => lease.state === 'revoking');
  await waitBounded(
    parts,
    'sweep',
    perTarget(living).map((group) => killThenSettle(parts, group, tally)),
  );
}

/** Groups small enough that one poisoned name delays few others. */
function perTarget(leases: readonly Lease[]): readonly (readonly Lease[])[] {
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

async function waitBounded(
  parts: BrokerParts,
  what: string,
  work: readonly Promise<void>[],
): Promise<void> {
  const all = Promise.all(work);
  parts.background.run(what, () => all);
  const waited = new AbortController();
  await Promise.race([all, parts.clock.sleep(PASS_WAIT_MS, waited.signal)]);
  waited.abort();
}
