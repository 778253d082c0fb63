import type { Broker } from '../../../src/broker/broker.ts';
import { failure } from '../../../src/foundation/failure.ts';
import { fail, succeed } from '../../../src/foundation/result.ts';
import type { SecretText } from '../../../src/foundation/secret-text.ts';
import {
  LEASE_ID,
  OPERATOR_TOKEN,
  QUARANTINE,
  WORKLOAD_TOKEN,
  agentCaller,
  agentView,
  deadLease,
  event,
  grant,
  lease,
  operatorCaller,
  reconciliation,
  task,
} from './examples.ts';

/**
 * A broker of literals, for tests of the wire alone: forms, bounds, headers and shapes. The whole
 * path is tested elsewhere, with the real parts.
 */
export function standInBroker(changes: Partial<Broker> = {}): Broker {
  const unknown = fail(failure('unknown_issuer', 'no such issuer', { field: 'iss' }));
  const is = (token: SecretText, text: string) => token.reveal() === text;
  return {
    authenticator: {
      agent: (token) => Promise.resolve(is(token, WORKLOAD_TOKEN) ? succeed(agentCaller) : unknown),
      operator: (token) =>
        Promise.resolve(is(token, OPERATOR_TOKEN) ? succeed(operatorCaller) : unknown),
    },
    exchange: () => Promise.resolve(succeed(grant)),
    answerLost: () => Promise.resolve(),
    completeTask: () =>
      Promise.resolve(
        succeed({ task, leases: [deadLease], leaseCount: 1, allDead: true, waitSeconds: 10 }),
      ),
    revokeCredential: () => Promise.resolve(succeed(undefined)),
    revokeLease: () => Promise.resolve(succeed(deadLease)),
    retryLease: () => Promise.resolve(succeed(deadLease)),
    revokeTask: () =>
      Promise.resolve(
        succeed({ task, leases: [deadLease], leaseCount: 1, allDead: true, waitSeconds: 10 }),
      ),
    listLeases: () =>
      Promise.resolve(succeed({ items: [{ ...lease, repeatOf: null }], cursor: 'next' })),
    showLease: () => Promise.resolve(succeed({ lease, events: [event] })),
    listTasks: () => Promise.resolve(succeed({ items: [task], cursor: null })),
    showTask: () => Promise.resolve(succeed({ task, leases: [lease] })),
    listAgents: () => Promise.resolve(succeed([agentView])),
    showAgent: () => Promise.resolve(succeed({ ...agentView, leases: [lease] })),
    quarantine: (_caller, agentId) =>
      Promise.resolve(
        succeed({
          agentId,
          quarantine: QUARANTINE,
          changed: true,
          leases: { fenced: 2, dead: 2, dying: 0 },
        }),
      ),
    release: () => Promise.resolve(succeed({ ...agentView, changed: true })),
    revokeSelected: () =>
      Promise.resolve(
        succeed({ id: LEASE_ID, matching: 2, underWay: 0, fenced: 2, dead: 1, dying: 1 }),
      ),
    sweep: () => Promise.reject(new Error('not part of the wire')),
    counts: () => Promise.reject(new Error('not part of the wire')),
    reconcile: () => Promise.resolve(succeed(reconciliation)),
    reconcileWhenDue: () => Promise.reject(new Error('not part of the wire')),
    checkLedger: () => Promise.reject(new Error('not part of the wire')),
    confirmLedger: () => Promise.reject(new Error('not part of the wire')),
    lastReconciliation: () => Promise.reject(new Error('not part of the wire')),
    readiness: () =>
      Promise.resolve({
        ready: true,
        ledger: { ok: true, detail: 'answers' },
        backend: { state: 'ready', detail: 'unsealed' },
        targets: [{ name: 'orders-db', ok: true, detail: 'answers' }],
        clocks: [{ part: 'target', name: 'orders-db', skewSeconds: 0.25, ok: true }],
        late: { notDeadInTime: 0, notSettled: 0, residue: 0, targets: [] },
        alarms: { ok: true, detail: 'evaluated 3 s ago' },
        quarantine: { ok: true, detail: 'not checked yet' },
        paused: [],
      }),
    describe: () => ({ agentScopes: ['orders-read'], limits: {} }),
    stop: () => Promise.resolve(),
    ...changes,
  };
}
