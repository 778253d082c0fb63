import { createHash } from 'node:crypto';
import { canonicalJson } from '../foundation/canonical-json.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import type { LedgerEpoch } from '../ledger/ledger.ts';
import type { KeptMark, MarkStore } from '../mint/ledger-mark.ts';
import { withLedger } from './ledger-faults.ts';
import type { LedgerWatch } from './ledger-watch.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';
import { compareAll } from './reconcile.ts';
import type { Reconciliation } from './reconciliation.ts';

/** What an operator is shown before, and what was done. */
export type LedgerConfirmation = {
  /** Why this broker only observes; null where it acts. */
  readonly observing: string | null;
  readonly ledger: LedgerEpoch;
  readonly mark: KeptMark | null;
  /** What a reconciliation would do with this ledger. */
  readonly differences: Reconciliation;
  /** Says that just this was seen; to be given back in order to confirm. */
  readonly confirmation: string;
  readonly confirmed: boolean;
};

/**
 * Shows how this ledger differs from OpenBao and the targets, and, given the confirmation of
 * exactly that, makes it the one to go on with.
 */
export function confirmLedger(
  parts: BrokerParts,
  watch: LedgerWatch,
  marks: MarkStore,
  caller: OperatorCaller,
  given: string | null,
): Promise<Result<LedgerConfirmation, Failure>> {
  return withPermission(caller, 'admin', () =>
    withLedger<LedgerConfirmation>(async () => {
      const mark = await marks.read();
      if (!mark.ok) return mark;
      if (mark.value === 'closed') return fail(NO_PLACE);
      const kept = mark.value === 'none' ? null : mark.value;
      const ledger = await parts.ledger.epoch();
      const differences = await compareAll(parts, true, caller.name);
      const confirmation = hashOf(ledger, kept, differences);
      const shown = { observing: watch.observing(), ledger, mark: kept, differences, confirmation };
      if (given === null) return succeed({ ...shown, confirmed: false });
      if (given !== confirmation) return fail(OUTDATED);
      const epoch = Math.max(ledger.epoch, kept?.epoch ?? 0) + 1;
      const next = { ledger: ledger.ledger, cluster: ledger.cluster, epoch };
      // The mark first: whoever confirms a clone is refused there, and that must change nothing.
      // Between the two this ledger counts as set back, and whoever confirms it does so again.
      const written = await marks.write(next, kept?.version ?? 0);
      if (!written.ok) return written;
      if (written.value === 'lost') return fail(OUTDATED);
      await record(parts, caller, shown);
      if (!(await parts.ledger.raiseEpoch(ledger.epoch, epoch, true))) return fail(OUTDATED);
      await watch.check();
      return succeed({ ...shown, observing: watch.observing(), confirmed: true });
    }),
  );
}

const NO_PLACE = failure(
  'backend_unreachable',
  'OpenBao keeps no mark: run "mayfly backend apply"',
);

const OUTDATED = failure(
  'confirmation_outdated',
  'what you confirm is not what there is now; look at it again',
  { field: 'confirmation' },
);

/** Over what a decision rests on: both marks, and what was found, by name. */
function hashOf(
  ledger: LedgerEpoch,
  mark: KeptMark | null,
  { before, findings, problems }: Reconciliation,
): string {
  const seen = {
    ledger: { id: ledger.ledger, cluster: ledger.cluster },
    mark: mark && { ledger: mark.ledger, cluster: mark.cluster },
    before,
    names: findings
      .filter(({ outcome }) => outcome !== 'within_grace')
      .map(({ name }) => name)
      .sort(),
    problems: problems.map(({ place }) => place).sort(),
  };
  return createHash('sha256').update(canonicalJson(seen)).digest('hex').slice(0, 16);
}

async function record(
  parts: BrokerParts,
  caller: OperatorCaller,
  shown: Omit<LedgerConfirmation, 'confirmed'>,
): Promise<void> {
  const { observing, ledger, mark, differences, confirmation } = shown;
  const body = {
    by: caller.name,
    observing,
    epoch: ledger.epoch,
    mark: mark?.epoch ?? null,
    found: differences.before,
    confirmation,
  };
  const none = { agentId: null, taskId: null, leaseId: null };
  await parts.ledger.recordEvents([
    { id: parts.ids.uuid(), kind: 'ledger.confirmed', ...none, body },
  ]);
}
