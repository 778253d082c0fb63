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
  const waited = new AbortController();
  const late = parts.clock.sleep(COUNT_WAIT_MS, waited.signal).then(() => {
    throw new LedgerUnreachable('The leases were not counted in time.');
  });
  const counted = parts.ledger.counts({
    notDeadSeconds: not_dead_alarm_seconds,
    notSettledSeconds: not_settled_alarm_seconds,
  });
  try {
    return await Promise.race([counted, late]);
  } finally {
    // The one that lost may still reject; nobody waits for it.
    late.catch(() => undefined);
    counted.catch(() => undefined);
    waited.abort();
  }
}
