import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import { SCHEDULE } from './end-missing-leases.ts';
import { withLedger } from './ledger-faults.ts';
import { RECONCILE_KEEP_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';
import { reconcileBackend } from './reconcile-backend.ts';
import { ReconciliationLost } from './reconcile-pass.ts';
import type { Pass } from './reconcile-pass.ts';
import { reconcileTargets } from './reconcile-targets.ts';
import { createTally } from './reconciliation.ts';
import type { Reconciliation } from './reconciliation.ts';
import { reconciliationJson } from './reconciliation-json.ts';

/** Seconds after which a reconciliation that is under way may have ended. */
const RUNNING_RETRY_SECONDS = 5;

/**
 * An operator compares ledger, OpenBao and targets now, and ends what nobody knows. A dry run
 * changes nothing and may run beside another.
 */
export function reconcile(
  parts: BrokerParts,
  caller: OperatorCaller,
  dryRun: boolean,
): Promise<Result<Reconciliation, Failure>> {
  return withPermission(caller, 'leases.revoke', () =>
    withLedger<Reconciliation>(async () => {
      if (dryRun) return succeed(await compareAll(parts, true, caller.name));
      const name = parts.ids.uuid();
      if ((await parts.ledger.beginReconciliation(name, null)) !== 'begun') return fail(RUNNING);
      return claimed(parts, name, caller.name);
    }),
  );
}

/** The same by the schedule: null where it is not this replica's turn. */
export async function reconcileWhenDue(parts: BrokerParts): Promise<Reconciliation | null> {
  const { reconcile_every_seconds: every } = parts.catalogue.current().limits;
  const name = parts.ids.uuid();
  if ((await parts.ledger.beginReconciliation(name, every)) !== 'begun') return null;
  const done = await claimed(parts, name, SCHEDULE);
  return done.ok ? done.value : null;
}

const RUNNING: Failure = failure(
  'reconciliation_running',
  'another reconciliation is under way; try again when it has ended',
  { retryAfterSeconds: RUNNING_RETRY_SECONDS },
);

/** Under the claim of this name; whatever goes wrong gives it up, so that another begins anew. */
async function claimed(
  parts: BrokerParts,
  name: string,
  by: string,
): Promise<Result<Reconciliation, Failure>> {
  const begunMs = parts.clock.monotonicMs();
  try {
    const done = await compareAll(parts, false, by, keepClaim(parts, name));
    await parts.ledger.endReconciliation(name, reconciliationJson(done));
    return succeed(done);
  } catch (error) {
    if (error instanceof ReconciliationLost) {
      const seconds = (parts.clock.monotonicMs() - begunMs) / 1000;
      parts.metrics.reconciliation('lost', seconds);
      parts.log.warn({ by, seconds }, 'another reconciliation has taken this one over: it stops');
      return fail(RUNNING);
    }
    await parts.ledger.endReconciliation(name, null).catch(() => undefined);
    throw error;
  }
}

/**
 * Targets first: what is alive there matters most, and dies by the guard. Then the backend, whose
 * leases of ended users are book-keeping.
 */
export async function compareAll(
  parts: BrokerParts,
  dryRun: boolean,
  by: string,
  keep: Pass['keep'] = () => Promise.resolve(),
): Promise<Reconciliation> {
  const started = parts.clock.monotonicMs();
  const begunAt = await parts.ledger.now();
  const { orphan_grace_seconds: grace } = parts.catalogue.current().limits;
  const tally = createTally();
  const pass: Pass = { parts, dryRun, by, graceMs: grace * 1000, tally, keep };
  await reconcileTargets(pass);
  await reconcileBackend(pass);
  const seconds = (parts.clock.monotonicMs() - started) / 1000;
  return { dryRun, begunAt, seconds, ...tally.summary() };
}

function keepClaim(parts: BrokerParts, name: string): Pass['keep'] {
  let keptAtMs = parts.clock.monotonicMs();
  let keeping: Promise<void> | undefined;
  const keep = async () => {
    if (!(await parts.ledger.keepReconciliation(name))) throw new ReconciliationLost();
    keptAtMs = parts.clock.monotonicMs();
  };
  return async () => {
    if (parts.clock.monotonicMs() - keptAtMs < RECONCILE_KEEP_MS) return;
    // Calls that are under way side by side keep it once.
    keeping ??= keep().finally(() => (keeping = undefined));
    await keeping;
  };
}
