import { within } from '../foundation/clock.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { LedgerCounts } from '../ledger/ledger.ts';
import { COUNT_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Counts the leases for gauges and alarms. Rejects with LedgerUnreachable after a bounded wait: the
 * sweep counts between its passes, which may not wait for a ledger that says nothing.
 */
export async function countInTime(parts: BrokerParts): Promise<LedgerCounts> {
  const { not_dead_alarm_seconds, not_settled_alarm_seconds } = parts.catalogue.current().limits;
  const counting = parts.ledger.counts({
    notDeadSeconds: not_dead_alarm_seconds,
    notSettledSeconds: not_settled_alarm_seconds,
  });
  const counted = await within(parts.clock, COUNT_WAIT_MS, counting);
  if (counted === undefined) throw new LedgerUnreachable('The leases were not counted in time.');
  return counted;
}
