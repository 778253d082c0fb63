import type { Json } from '../foundation/canonical-json.ts';
import type { NewAuditEvent } from '../ledger/lease.ts';
import type { BrokerParts } from './parts.ts';
import type { Finding, Tally } from './reconciliation.ts';

/** One reconciliation under way. */
export type Pass = {
  readonly parts: BrokerParts;
  readonly dryRun: boolean;
  /** The operator's name, or `mayfly` for the schedule. */
  readonly by: string;
  readonly graceMs: number;
  readonly tally: Tally;
  /** Called before each slow call. Throws ReconciliationLost where another pass has taken over. */
  readonly keep: () => Promise<void>;
};

/** The claim lapsed and somebody else is at it: stop, everything done so far stands. */
export class ReconciliationLost extends Error {
  override readonly name = 'ReconciliationLost';
}

/** The event of a finding that is about to be ended: it stands before the act, whatever follows. */
export function orphanEvent(
  { parts, by }: Pass,
  finding: Pick<Finding, 'kind' | 'name' | 'leaseId'>,
  more: { readonly [key: string]: Json },
): NewAuditEvent {
  const { kind, name, leaseId } = finding;
  return {
    id: parts.ids.uuid(),
    kind: 'orphan.found',
    agentId: null,
    taskId: null,
    leaseId,
    body: { by, found: kind, name, ...more },
  };
}

/** Notes a finding and, where it was acted upon, counts and logs what came of it. */
export function conclude({ parts, dryRun, tally }: Pass, finding: Finding): void {
  tally.note(finding);
  if (dryRun || finding.outcome === 'within_grace') return;
  const { kind, outcome, place, leaseId: lease, detail } = finding;
  parts.metrics.reconciled(kind, outcome);
  const level = outcome === 'ended' ? 'warn' : 'error';
  parts.log[level]({ kind, outcome, place, lease, detail }, 'found by reconciling');
}
