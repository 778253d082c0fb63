import { within } from '../foundation/clock.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { AlarmBounds, LateTarget, LedgerCounts } from '../ledger/ledger.ts';
import type { LateWork } from './broker.ts';
import { LATE_TARGETS_SHOWN } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * The two alarms, by target and with a reason: what is not dead in time, and what is dead but not
 * settled. Asks the ledger only where its counts name any; where it does not say in time which targets
 * they are of, the alarms name none. Each alarm leaves a line when it begins, when its figures change
 * and when it ends.
 */
export async function lateWork(
  parts: BrokerParts,
  counted: LedgerCounts,
  before: LateWork | null,
  asked: { readonly bounds: AlarmBounds; readonly waitMs: number },
): Promise<LateWork> {
  const { notDeadInTime, notSettled, residue } = counted;
  const some = notDeadInTime + notSettled > 0;
  const targets = some ? await targetsInTime(parts, asked) : [];
  parts.metrics.lateTargets(targets);
  const late = { notDeadInTime, notSettled, residue, targets };
  tell(parts, late, before);
  return late;
}

async function targetsInTime(
  { clock, ledger }: BrokerParts,
  { bounds, waitMs }: { readonly bounds: AlarmBounds; readonly waitMs: number },
): Promise<readonly LateTarget[]> {
  try {
    const asking = ledger.lateTargets(bounds, LATE_TARGETS_SHOWN);
    return (await within(clock, waitMs, asking)) ?? [];
  } catch (error) {
    if (error instanceof LedgerUnreachable) return [];
    throw error;
  }
}

function tell({ log }: BrokerParts, late: LateWork, before: LateWork | null): void {
  const { targets } = late;
  const changed = (figure: 'notDeadInTime' | 'notSettled' | 'residue') =>
    late[figure] !== (before?.[figure] ?? 0);
  if (changed('notDeadInTime')) {
    const line = { leases: late.notDeadInTime, targets };
    if (late.notDeadInTime > 0) log.error(line, 'alarm: credentials are not dead in time');
    else log.info(line, 'all credentials that should be dead are dead again');
  }
  if (changed('notSettled')) {
    const line = { leases: late.notSettled, targets };
    if (late.notSettled > 0) log.error(line, 'alarm: dead leases are not settled with the backend');
    else log.info(line, 'all dead leases are settled again');
  }
  if (changed('residue')) {
    const line = { leases: late.residue };
    if (late.residue > 0) log.warn(line, 'disabled roles cannot be dropped; they are tried again');
    else log.info(line, 'no disabled role is left behind');
  }
}
