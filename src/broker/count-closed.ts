import type { ClosedState } from '../ledger/lease-states.ts';
import { CLOSED_EVERY_MS, CLOSED_PAGE } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** When this process last began to count what is closed. */
export type ClosedCount = { begunAtMs: number; underWay: boolean };

export function notCounted(): ClosedCount {
  return { begunAtMs: -Infinity, underWay: false };
}

/**
 * Behind the sweep, and rarely: there are ever more closed leases, and no alarm needs their number.
 * A count that fails leaves the gauges and the instant that they are of as they were.
 */
export function countClosedWhenDue(
  parts: BrokerParts,
  count: ClosedCount,
  stopping: () => boolean,
): void {
  const nowMs = parts.clock.monotonicMs();
  if (count.underWay || nowMs - count.begunAtMs < CLOSED_EVERY_MS) return;
  Object.assign(count, { begunAtMs: nowMs, underWay: true });
  parts.background.run('count what is closed', () =>
    countClosed(parts, stopping).finally(() => (count.underWay = false)),
  );
}

/** Page by page, so that no statement grows with the ledger. As of the instant at which it began. */
export async function countClosed(
  { ledger, metrics }: Pick<BrokerParts, 'ledger' | 'metrics'>,
  stopping: () => boolean = () => false,
): Promise<void> {
  const now = await ledger.now();
  const byState: Record<ClosedState, number> = { settled: 0, abandoned: 0 };
  let cursor: string | null = null;
  do {
    if (stopping()) return;
    const page = await ledger.countClosed(CLOSED_PAGE, cursor);
    byState.settled += page.byState.settled;
    byState.abandoned += page.byState.abandoned;
    ({ cursor } = page);
  } while (cursor !== null);
  metrics.closedLeases({ byState, now });
}
