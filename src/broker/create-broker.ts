import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { MarkStore } from '../mint/ledger-mark.ts';
import type { Broker, SweepPass } from './broker.ts';
import { openClockWatch } from './clock-watch.ts';
import { completeTask, revokeTask } from './complete-task.ts';
import { confirmLedger } from './confirm-ledger.ts';
import { countClosedWhenDue, notCounted } from './count-closed.ts';
import { alarmsAreDue, evaluateAlarms, notEvaluated } from './evaluate-alarms.ts';
import type { Alarms } from './evaluate-alarms.ts';
import { exchange } from './exchange.ts';
import { announceCatalogue } from './keep-catalogue.ts';
import type { BrokerParts } from './parts.ts';
import { quarantine, release } from './quarantine.ts';
import { lastReconciliation } from './last-reconciliation.ts';
import { reconcile, reconcileWhenDue } from './reconcile.ts';
import { readiness } from './readiness.ts';
import { retryLease } from './retry-lease.ts';
import { nothingUnderWay, revokeDue } from './revoke-due.ts';
import type { UnderWay } from './revoke-due.ts';
import { answerLost, revokeCredential, revokeLease } from './revoke-lease.ts';
import { revokeSelected } from './revoke-selected.ts';
import { UNWATCHED } from './ledger-watch.ts';
import type { LedgerWatch } from './ledger-watch.ts';
import { endNamesOnly, granting, observedReadiness } from './observe.ts';
import { listAgents, showAgent } from './show-agents.ts';
import { listLeases, listTasks, showLease, showTask } from './show-leases.ts';

/** Seconds after which another replica, or this one restarted, can be asked. */
const STOPPING_RETRY_SECONDS = 2;

/** How this broker knows that its ledger is the one that went on. */
export type Watched = { readonly watch: LedgerWatch; readonly marks: MarkStore };

const NOTHING_WATCHED: Watched = {
  watch: UNWATCHED,
  marks: {
    read: () => Promise.resolve(succeed('closed')),
    write: () => Promise.resolve(succeed('lost')),
  },
};

/** What each replica does every few seconds, whether or not it sweeps. */
async function checkLedger(parts: BrokerParts, watch: LedgerWatch): Promise<void> {
  await watch.check();
  await announceCatalogue(parts, parts.catalogue.current().hash);
}

/** From its first pass on a replica has alarms to evaluate. */
function pass(
  parts: BrokerParts,
  watch: LedgerWatch,
  underWay: UnderWay,
  alarms: Alarms,
): Promise<SweepPass> {
  alarmsAreDue(alarms, parts);
  return watch.observing() === null
    ? revokeDue(parts, underWay, watch.isKnown())
    : endNamesOnly(parts, underWay);
}

/** Joins the use cases with their parts: what both drivers, http and sweep, call. */
export function createBroker(parts: BrokerParts, watched: Watched = NOTHING_WATCHED): Broker {
  const { watch, marks } = watched;
  let stopping = false;
  // As the sweep last evaluated them: too dear for every probe.
  const alarms = notEvaluated();
  const closed = notCounted();
  const clocks = openClockWatch(parts);
  const underWay = nothingUnderWay();
  /** A ledger that may not be the one that went on is looked at, and nothing else. */
  const acting = async <Value>(
    work: () => Promise<Result<Value, Failure>>,
  ): Promise<Result<Value, Failure>> => {
    const obstacle = watch.observing() === null ? null : await watch.obstacle();
    return obstacle ? fail(obstacle) : work();
  };
  return {
    authenticator: parts.authenticator,
    exchange: async (request) =>
      stopping
        ? fail(
            failure('stopping', 'this replica is stopping; ask again', {
              retryAfterSeconds: STOPPING_RETRY_SECONDS,
            }),
          )
        : granting(watch, () => exchange(parts, request)),
    answerLost: (leaseId) => answerLost(parts, leaseId),
    completeTask: (...call) => acting(() => completeTask(parts, ...call)),
    revokeCredential: (...call) => acting(() => revokeCredential(parts, ...call)),
    revokeLease: (...call) => acting(() => revokeLease(parts, ...call)),
    retryLease: (...call) => acting(() => retryLease(parts, ...call)),
    revokeTask: (...call) => acting(() => revokeTask(parts, ...call)),
    listLeases: (...call) => listLeases(parts, ...call),
    showLease: (...call) => showLease(parts, ...call),
    listTasks: (...call) => listTasks(parts, ...call),
    showTask: (...call) => showTask(parts, ...call),
    listAgents: (...call) => listAgents(parts, ...call),
    showAgent: (...call) => showAgent(parts, ...call),
    quarantine: (...call) => acting(() => quarantine(parts, ...call)),
    release: (...call) => acting(() => release(parts, ...call)),
    revokeSelected: (...call) => acting(() => revokeSelected(parts, ...call)),
    sweep: () => pass(parts, watch, underWay, alarms),
    readiness: async () =>
      observedReadiness(await readiness(parts, clocks, alarms, underWay.checked), watch),
    reconcile: (caller, dryRun) =>
      dryRun ? reconcile(parts, caller, dryRun) : acting(() => reconcile(parts, caller, dryRun)),
    reconcileWhenDue: async () =>
      (await watch.obstacle()) === null ? reconcileWhenDue(parts) : null,
    checkLedger: () => checkLedger(parts, watch),
    confirmLedger: (caller, confirmation) =>
      confirmLedger(parts, watch, marks, caller, confirmation),
    lastReconciliation: () => lastReconciliation(parts),
    counts: () => {
      // Clocks are watched as often as leases are counted, whether or not anybody probes.
      parts.background.run('look at the clocks', () =>
        readiness(parts, clocks, alarms, underWay.checked),
      );
      countClosedWhenDue(parts, closed, () => stopping);
      return evaluateAlarms(parts, alarms);
    },
    describe: () => ({
      agentScopes: [...parts.catalogue.current().scopes.keys()],
      limits: { ...parts.catalogue.current().limits },
    }),
    async stop(graceMs) {
      stopping = true;
      underWay.inHand.stopping = true;
      const drained = await parts.background.drain(graceMs);
      const handedOver = await parts.ledger.releaseClaims().catch(() => 0);
      parts.log.info({ drained, handedOver }, 'stopped');
    },
  };
}
