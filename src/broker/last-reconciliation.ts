import type { ReconcileNumbers } from '../foundation/metrics.ts';
import type { BrokerParts } from './parts.ts';
import type { Numbers } from './reconciliation.ts';

/** What the last reconciliation of any replica found, so that all of them show the same. */
export async function lastReconciliation(parts: BrokerParts): Promise<ReconcileNumbers | null> {
  const last = await parts.ledger.lastReconciliation();
  if (!last) return null;
  const { before, after } = last.result as { readonly before: Numbers; readonly after: Numbers };
  return { before, after, endedAt: last.endedAt };
}
