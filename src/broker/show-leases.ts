import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { Permission } from '../catalogue/operators.ts';
import type { Caller, OperatorCaller } from '../identity/principal.ts';
import type { Lease, Task } from '../ledger/lease.ts';
import type { LeaseFilter, Page, TaskFilter } from '../ledger/ledger.ts';
import type { LeaseDetail, ListedLease, TaskDetail } from './broker.ts';
import { withLedger } from './ledger-faults.ts';
import { MINT_DEADLINE_SECONDS } from './margins.ts';
import { withPermission } from './permission.ts';
import type { BrokerParts } from './parts.ts';

/** Leases of one task that are shown with it. */
const LEASES_OF_A_TASK = 200;

export function listLeases(
  parts: BrokerParts,
  caller: OperatorCaller,
  filter: LeaseFilter,
  limit: number,
  cursor: string | null,
): Promise<Result<Page<ListedLease>, Failure>> {
  return withPermission(caller, 'leases.read', () =>
    withLedger(async () => {
      const page = await parts.ledger.leases(filter, limit, cursor);
      const leaseIds = page.items.map(({ id }) => id);
      const repeats = await parts.ledger.repeatsOf(leaseIds, MINT_DEADLINE_SECONDS);
      const items = page.items.map((lease) => ({
        ...lease,
        lateReason: lease.lateReason ?? whatItWaitsFor(parts, lease, filter.late === true),
        repeatOf: repeats.get(lease.id) ?? null,
      }));
      return succeed({ items, cursor: page.cursor });
    }),
  );
}

/** What is not even tried while its target fails as a whole has no reason of its own. */
function whatItWaitsFor({ circuits }: BrokerParts, lease: Lease, isLate: boolean): string | null {
  const { target, proof } = lease.snapshot;
  const byGuard = (isLate || lease.state === 'revoking') && proof === 'target';
  const toEnd = byGuard ? circuits.ending : undefined;
  const circuit = lease.state === 'revoked' ? circuits.settling : toEnd;
  return circuit?.paused().find((paused) => paused.target === target)?.reason ?? null;
}

export function listTasks(
  parts: BrokerParts,
  caller: OperatorCaller,
  filter: TaskFilter,
  limit: number,
  cursor: string | null,
): Promise<Result<Page<Task>, Failure>> {
  return withPermission(caller, 'tasks.read', () =>
    withLedger(async () => succeed(await parts.ledger.tasks(filter, limit, cursor))),
  );
}

/** One lease with its events; an agent sees its own, an operator with the permission all. */
export function showLease(
  parts: BrokerParts,
  caller: Caller,
  leaseId: string,
): Promise<Result<LeaseDetail, Failure>> {
  return withLedger<LeaseDetail>(async () => {
    const lease = await parts.ledger.lease(leaseId);
    if (!lease || !maySee(caller, lease.agentId, 'leases.read')) return notFound('lease');
    return succeed({ lease, events: await parts.ledger.events({ leaseId }) });
  });
}

/** One task with its leases, under the same rule. */
export function showTask(
  parts: BrokerParts,
  caller: Caller,
  taskId: string,
): Promise<Result<TaskDetail, Failure>> {
  return withLedger<TaskDetail>(async () => {
    const task = await parts.ledger.task(taskId);
    if (!task || !maySee(caller, task.agentId, 'tasks.read')) return notFound('task');
    const states = ['minting', 'active', 'revoking', 'revoked', 'settled', 'abandoned'] as const;
    const page = await parts.ledger.leases({ taskId, states }, LEASES_OF_A_TASK, null);
    return succeed({ task, leases: page.items });
  });
}

function maySee(caller: Caller, agentId: string, permission: Permission): boolean {
  return caller.kind === 'agent' ? caller.agent.id === agentId : caller.permissions.has(permission);
}

/** Somebody else's gets the same answer as what does not exist. */
function notFound(what: 'lease' | 'task'): Result<never, Failure> {
  return fail(failure('not_found', `no such ${what}`, { field: `${what}_id` }));
}
