import { failure } from '../foundation/failure.ts';
import { fail } from '../foundation/result.ts';
import type { Broker, Readiness } from './broker.ts';
import { openClockWatch } from './clock-watch.ts';
import { completeTask, revokeTask } from './complete-task.ts';
import { countInTime } from './count-in-time.ts';
import { exchange } from './exchange.ts';
import { lateWork } from './late-work.ts';
import type { BrokerParts } from './parts.ts';
import { quarantine, release } from './quarantine.ts';
import { lastReconciliation } from './last-reconciliation.ts';
import { reconcile, reconcileWhenDue } from './reconcile.ts';
import { readiness } from './readiness.ts';
import { retryLease } from './retry-lease.ts';
import { nothingUnderWay, revokeDue } from './revoke-due.ts';
import { answerLost, revokeCredential, revokeLease } from './revoke-lease.ts';
import { revokeSelected } from './revoke-selected.ts';
import { listAgents, showAgent } from './show-agents.ts';
import { listLeases, listTasks, showLease, showTask } from './show-leases.ts';

/** Seconds after which another replica, or this one restarted, can be asked. */
const STOPPING_RETRY_SECONDS = 2;

/** Joins the use cases with their parts: what both drivers, http and sweep, call. */
export function createBroker(parts: BrokerParts): Broker {
  let stopping = false;
  // As the sweep last counted them: counting all leases is too dear for every probe.
  let lastCounts: Readiness['late'] = null;
  const clocks = openClockWatch(parts);
  const underWay = nothingUnderWay();
  return {
    authenticator: parts.authenticator,
    exchange: async (request) =>
      stopping
        ? fail(
            failure('stopping', 'this replica is stopping; ask again', {
              retryAfterSeconds: STOPPING_RETRY_SECONDS,
            }),
          )
        : exchange(parts, request),
    answerLost: (leaseId) => answerLost(parts, leaseId),
    completeTask: (...call) => completeTask(parts, ...call),
    revokeCredential: (...call) => revokeCredential(parts, ...call),
    revokeLease: (...call) => revokeLease(parts, ...call),
    retryLease: (...call) => retryLease(parts, ...call),
    revokeTask: (...call) => revokeTask(parts, ...call),
    listLeases: (...call) => listLeases(parts, ...call),
    showLease: (...call) => showLease(parts, ...call),
    listTasks: (...call) => listTasks(parts, ...call),
    showTask: (...call) => showTask(parts, ...call),
    listAgents: (...call) => listAgents(parts, ...call),
    showAgent: (...call) => showAgent(parts, ...call),
    quarantine: (...call) => quarantine(parts, ...call),
    release: (...call) => release(parts, ...call),
    revokeSelected: (...call) => revokeSelected(parts, ...call),
    sweep: () => revokeDue(parts, underWay),
    readiness: () => readiness(parts, clocks, lastCounts, underWay.checked),
    reconcile: (...call) => reconcile(parts, ...call),
    reconcileWhenDue: () => reconcileWhenDue(parts),
    lastReconciliation: () => lastReconciliation(parts),
    counts: async () => {
      // Clocks are watched as often as leases are counted, whether or not anybody probes.
      parts.background.run('look at the clocks', () =>
        readiness(parts, clocks, lastCounts, underWay.checked),
      );
      const counted = await countInTime(parts);
      lastCounts = await lateWork(parts, counted, lastCounts);
      return counted;
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
