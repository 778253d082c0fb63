import { randomBytes } from 'node:crypto';
import { systemClock } from '../../../src/foundation/clock.ts';
import type { Failure } from '../../../src/foundation/failure.ts';
import { systemIds } from '../../../src/foundation/ids.ts';
import { succeed } from '../../../src/foundation/result.ts';
import type { Result } from '../../../src/foundation/result.ts';
import type { Lease, Task } from '../../../src/ledger/lease.ts';
import type {
  Admission,
  Admit,
  ExchangeFacts,
  Lateness,
  Ledger,
  NewLease,
  NewTask,
} from '../../../src/ledger/ledger.ts';

export const ids = systemIds(systemClock);

export const AGENT = { id: 'invoice-reconciler', owner: 'finance-platform team' };

export function inSeconds(now: Date, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000);
}

export function newTask(now: Date, more: Partial<NewTask> = {}): NewTask {
  return {
    id: ids.uuid(),
    taskType: 'reconcile-invoice',
    identifier: 'invoice-4711',
    purpose: 'Reconcile invoice 4711 with the ledger',
    workflow: null,
    actions: ['read'],
    locations: ['https://db.internal.example/orders'],
    datatypes: ['orders'],
    parameters: { tenant: 'north' },
    delegation: { maxDepth: 1, maxChildren: 2 },
    deadline: inSeconds(now, 600),
    ...more,
  };
}

export function newLease(now: Date, more: Partial<NewLease> = {}): NewLease {
  const id = more.id ?? ids.uuid();
  return {
    id,
    instance: 'pod-1',
    issuer: 'cluster',
    subject: 'spiffe://demo.example/agent/invoice-reconciler',
    scope: 'orders-read',
    revocability: 'proven',
    credentialName: `m0000-${id}`,
    decisionId: ids.uuid(),
    deadline: inSeconds(now, 300),
    mintDeadlineSeconds: 10,
    backendEndsBy: inSeconds(now, 330),
    requestSha256: randomBytes(32),
    snapshot: {
      target: 'orders',
      kind: 'postgres',
      mount: 'mayfly-database',
      config: 'orders',
      role: 'orders-read',
      tokenRole: 'mayfly-orders-read',
      proof: 'target',
      catalogueHash: 'c0ffee',
    },
    ...more,
  };
}

/** Joins the open task, or opens one. */
export function admission(
  facts: ExchangeFacts,
  more: { readonly lease?: Partial<NewLease>; readonly task?: Partial<NewTask> } = {},
): Admission {
  const lease = newLease(facts.now, more.lease);
  return {
    openTask: facts.task?.endedAt === null ? null : newTask(facts.now, more.task),
    lease,
    event: (taskId) => ({
      id: ids.uuid(),
      kind: 'lease.minting',
      agentId: AGENT.id,
      taskId,
      leaseId: lease.id,
      body: { outcome: 'permit', scope: lease.scope },
    }),
  };
}

type More = NonNullable<Parameters<typeof admission>[1]>;

export function admitAll(more: More = {}): Admit {
  return (facts) => succeed(admission(facts, more));
}

/** Opens a lease that must be admitted. */
export async function open(
  ledger: Ledger,
  more: More & { readonly identifier?: string; readonly agent?: typeof AGENT } = {},
): Promise<{ lease: Lease; task: Task }> {
  const identifier = more.identifier ?? ids.uuid();
  const admit = admitAll({ ...more, task: { identifier, ...more.task } });
  return value(await ledger.openLease(more.agent ?? AGENT, identifier, admit));
}

/** Opens a lease and records its mint. */
export async function active(
  ledger: Ledger,
  more: Parameters<typeof open>[1] = {},
): Promise<Lease> {
  const { lease } = await open(ledger, more);
  return await ledger.recordMint(minted(lease.id));
}

export function minted(leaseId: string) {
  return {
    leaseId,
    outcome: 'minted',
    backendLeaseId: `mayfly-database/creds/orders-read/${leaseId}`,
    credentialSha256: randomBytes(32),
  } as const;
}

export function death(leaseId: string, more: { readonly residue?: string | null } = {}) {
  return {
    leaseId,
    evidence: { look: { sessions: 0, roleExists: false } },
    revocability: 'proven',
    revocabilityReason: null,
    residue: null,
    targetOid: 16_400,
    ...more,
  } as const;
}

/** An attempt at its end that failed, and that may be repeated at once. */
export function late(leaseId: string, more: Partial<Lateness> = {}): Lateness {
  return { leaseId, state: 'revoking', reason: 'x', retryInMs: 0, targetOid: null, ...more };
}

export function value<Value>(result: Result<Value, Failure>): Value {
  if (result.ok) return result.value;
  throw new Error(`refused: ${result.failure.reason}: ${result.failure.detail}`);
}

/** Claims all that is due at the target of these examples, to end it first, then to settle it. */
export async function claimAll(ledger: Ledger, limit: number): Promise<readonly Lease[]> {
  const toEnd = await ledger.claimDue('end', 'orders', limit);
  const toSettle = await ledger.claimDue('settle', 'orders', limit - toEnd.length);
  return [...toEnd, ...toSettle];
}
