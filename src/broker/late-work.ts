import type { LedgerCounts } from '../ledger/ledger.ts';
import type { LateWork } from './broker.ts';
import { LATE_TARGETS_SHOWN } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * The two alarms, by target and with a reason: what is not dead in time, and what is dead but not
 * settled. Asks the ledger only where its counts name any. Each alarm leaves a line when it begins,
 * when its figures change and when it ends.
 */
export async function lateWork(
  parts: BrokerParts,
  counted: LedgerCounts,
  before: LateWork | null,
): Promise<LateWork> {
  const { notDeadInTime, notSettled, residue } = counted;
  const { not_dead_alarm_seconds, not_settled_alarm_seconds } = parts.catalogue.current().limits;
  const alarms = {
    notDeadSeconds: not_dead_alarm_seconds,
    notSettledSeconds: not_settled_alarm_seconds,
  };
  const some = notDeadInTime + notSettled > 0;
  const targets = some ? await parts.ledger.lateTargets(alarms, LATE_TARGETS_SHOWN) : [];
  parts.metrics.lateTargets(targets);
  const late = { notDeadInTime, notSettled, residue, targets };
  tell(parts, late, before);
  return late;
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
