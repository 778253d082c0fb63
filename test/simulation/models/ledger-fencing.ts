import type { EndCause, Lease, Task } from '../../../src/ledger/lease.ts';
import type { LedgerTables } from './ledger-tables.ts';

/** Who asks: the owner of what is claimed. */
export type ReplicaOfLedger = { readonly name: string; readonly claimSeconds: number };

type Fence = { readonly cause: EndCause; readonly reason: string | null; readonly by: string };

/** From `minting` or `active`; claimed by the replica, or by nobody where there is none. */
export function fence(
  tables: LedgerTables,
  lease: Lease,
  { cause, reason, by }: Fence,
  now: Date,
  replica?: ReplicaOfLedger,
): Lease {
  if (lease.state !== 'minting' && lease.state !== 'active') return lease;
  const after = tables.updateLease(lease, {
    state: 'revoking',
    fencedAt: now,
    endCause: cause,
    endReason: reason,
    nextAttemptAt: now,
    ...claimOf(replica, now),
  });
  tables.noteOfLease(now, 'lease.fenced', after, { by, cause, reason: reason ?? undefined });
  return after;
}

/** Ends a task whose deadline has passed, and fences what lives below it. */
export function timeOut(tables: LedgerTables, task: Task, now: Date): void {
  tables.updateTask(task, { endedAt: task.deadline, endCause: 'timeout' });
  const body = { by: 'mayfly', cause: 'timeout' };
  tables.note(now, 'task.ended', task.agentId, { taskId: task.id }, body);
  for (const id of tables.leasesOfTask.get(task.id) ?? []) {
    const lease = tables.leases.get(id);
    if (!lease) continue;
    const cause = lease.deadline <= now ? 'deadline' : 'task_timeout';
    fence(tables, lease, { cause, reason: null, by: 'mayfly' }, now);
  }
}

export function claimOf(replica: ReplicaOfLedger | undefined, now: Date) {
  return replica
    ? { claimOwner: replica.name, claimUntil: later(now, replica.claimSeconds * 1000) }
    : { claimOwner: null, claimUntil: null };
}

export function later(now: Date, ms: number): Date {
  return new Date(now.getTime() + ms);
}

export function byId(one: { readonly id: string }, other: { readonly id: string }): number {
  return one.id < other.id ? -1 : Number(one.id > other.id);
}
