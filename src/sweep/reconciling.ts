import type { Broker } from '../broker/broker.ts';
import type { Reconciliation } from '../broker/reconciliation.ts';
import { within } from '../foundation/clock.ts';
import type { Clock } from '../foundation/clock.ts';
import { faultOf } from '../foundation/fault.ts';
import type { Ids } from '../foundation/ids.ts';
import type { Log } from '../foundation/log.ts';
import type { Metrics } from '../foundation/metrics.ts';

/** Milliseconds between two looks whether a reconciliation is due; the ledger knows when. */
const LOOK_EVERY_MS = 5_000;

/** Milliseconds that `stop` waits for a reconciliation under way; its claim lapses anyway. */
const RECONCILE_STOP_WAIT_MS = 2_000;

type Parts = {
  readonly broker: Pick<Broker, 'checkLedger' | 'reconcileWhenDue' | 'lastReconciliation'>;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'reconciliation' | 'reconcileNumbers'>;
  readonly clock: Clock;
  readonly ids: Ids;
  /** False: this replica only watches the ledger, and leaves the reconciling to others. */
  readonly reconciles: boolean;
};

/** Reconciles when it is due, on whichever replica comes first, apart from the sweep's passes. */
export function startReconciling(parts: Parts): { stop(): Promise<void> } {
  const { clock, ids } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = (async () => {
    // At random from the first look on, so that replicas do not look in step.
    await clock.sleep(LOOK_EVERY_MS * ids.fraction(), signal);
    while (!signal.aborted) {
      await turn(parts);
      await clock.sleep(LOOK_EVERY_MS * (0.5 + ids.fraction()), signal);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await within(clock, RECONCILE_STOP_WAIT_MS, loop);
    },
  };
}

async function turn({ broker, clock, log, metrics, reconciles }: Parts): Promise<void> {
  const begun = clock.monotonicMs();
  try {
    await broker.checkLedger();
    const done = reconciles ? await broker.reconcileWhenDue() : null;
    if (done) {
      metrics.reconciliation(done.complete ? 'complete' : 'incomplete', done.seconds);
      tell(log, done);
    }
    const last = await broker.lastReconciliation();
    if (last) metrics.reconcileNumbers(last);
  } catch (thrown) {
    metrics.reconciliation('failed', (clock.monotonicMs() - begun) / 1000);
    log.error({ fault: faultOf(thrown) }, 'reconciliation failed; it is tried again');
  }
}

function tell(
  log: Log,
  { before, after, withinGrace, problems, seconds, lookedAt }: Reconciliation,
) {
  const all = { before, after, withinGrace, problems, seconds, lookedAt };
  const left = Object.values(after).some((count) => count > 0);
  if (left || problems.length > 0) log.error(all, 'reconciled; something is left');
  else log.info(all, 'reconciled');
}
