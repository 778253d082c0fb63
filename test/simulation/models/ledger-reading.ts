import { isUuid } from '../../../src/foundation/ids.ts';
import type { AuditEvent, Lease, Task } from '../../../src/ledger/lease.ts';
import { LIVE_STATES } from '../../../src/ledger/lease-states.ts';
import type {
  AlarmBounds,
  ClosedCounts,
  LateTarget,
  LeaseFilter,
  LedgerCounts,
  Page,
  TaskFilter,
} from '../../../src/ledger/ledger.ts';
import { decodeCursor, encodeCursor } from '../../../src/ledger/postgres/cursor.ts';
import type { LedgerTables } from './ledger-tables.ts';

type Of = { readonly leaseId: string } | { readonly taskId: string };

export function readEvents(tables: LedgerTables, of: Of): readonly AuditEvent[] {
  const events =
    'leaseId' in of ? tables.eventsOfLease.get(of.leaseId) : tables.eventsOfTask.get(of.taskId);
  return [...(events ?? [])];
}

export function listLeases(
  tables: LedgerTables,
  now: Date,
  filter: LeaseFilter,
  limit: number,
  cursor: string | null,
): Page<Lease> {
  if (filter.taskId !== undefined && !isUuid(filter.taskId)) return { items: [], cursor: null };
  const ids =
    filter.taskId === undefined ? tables.leases.keys() : tables.leasesOfTask.get(filter.taskId);
  const found = [...(ids ?? [])]
    .flatMap((id) => tables.leases.get(id) ?? [])
    .filter((lease) => matches(tables, lease, filter, now));
  return page(found, limit, cursor);
}

function matches(tables: LedgerTables, lease: Lease, filter: LeaseFilter, now: Date): boolean {
  const { states, agentId, scope, taskId, owner, expiresBefore, credentialSha256 } = filter;
  const live = (LIVE_STATES as readonly string[]).includes(lease.state);
  return (
    (states === undefined || states.includes(lease.state)) &&
    (agentId === undefined || lease.agentId === agentId) &&
    (scope === undefined || lease.scope === scope) &&
    (taskId === undefined || lease.taskId === taskId) &&
    (owner === undefined || lease.owner === owner) &&
    (expiresBefore === undefined || lease.deadline < expiresBefore) &&
    (credentialSha256 === undefined ||
      tables.hashOf(lease.id) === credentialSha256.toString('hex')) &&
    (filter.late !== true || (live && (lease.state === 'revoking' || lease.deadline <= now))) &&
    (filter.unsettled !== true || lease.state === 'revoked') &&
    (filter.residue !== true || lease.residue !== null)
  );
}

export function listTasks(
  tables: LedgerTables,
  now: Date,
  filter: TaskFilter,
  limit: number,
  cursor: string | null,
): Page<Task> {
  const found = [...tables.tasks.values()].filter((task) => {
    const open = task.endedAt === null && task.deadline > now;
    return (
      (filter.agentId === undefined || task.agentId === filter.agentId) &&
      (filter.taskType === undefined || task.taskType === filter.taskType) &&
      (filter.identifier === undefined || task.identifier === filter.identifier) &&
      (filter.workflow === undefined || task.workflow === filter.workflow) &&
      (filter.open === undefined || filter.open === open)
    );
  });
  return page(found, limit, cursor);
}

/** The newest first. */
function page<Item extends { readonly id: string }>(
  found: Item[],
  limit: number,
  cursor: string | null,
): Page<Item> {
  const before = cursor === null ? null : decodeCursor(cursor);
  const rest = found
    .filter(({ id }) => before === null || id < before)
    .sort((one, other) => (one.id < other.id ? 1 : -1));
  const items = rest.slice(0, limit);
  const last = items.at(-1);
  return { items, cursor: rest.length > limit && last ? encodeCursor(last.id) : null };
}

export function countLeases(tables: LedgerTables, now: Date, alarms: AlarmBounds): LedgerCounts {
  const byState = { minting: 0, active: 0, revoking: 0, revoked: 0 };
  let [notDeadInTime, notSettled, residue] = [0, 0, 0];
  for (const lease of tables.leases.values()) {
    if (lease.state !== 'settled' && lease.state !== 'abandoned') byState[lease.state]++;
    const late = lateness(lease, now, alarms);
    if (late === 'end') notDeadInTime++;
    if (late === 'settle') notSettled++;
    if (lease.state === 'settled' && lease.residue !== null) residue++;
  }
  return { byState, notDeadInTime, notSettled, residue, now };
}

export function countClosed(
  tables: LedgerTables,
  limit: number,
  cursor: string | null,
): ClosedCounts {
  const after = cursor === null ? '' : decodeCursor(cursor);
  const rest = [...tables.leases.values()]
    .filter(({ id }) => id > after)
    .sort((one, other) => (one.id < other.id ? -1 : 1))
    .slice(0, limit);
  const byState = { settled: 0, abandoned: 0 };
  for (const { state } of rest) if (state === 'settled' || state === 'abandoned') byState[state]++;
  const last = rest.length === limit ? rest.at(-1) : undefined;
  return { byState, cursor: last ? encodeCursor(last.id) : null };
}

/** Which of the two alarms this lease raises. */
function lateness(lease: Lease, now: Date, alarms: AlarmBounds): 'end' | 'settle' | undefined {
  const before = (atMs: number, seconds: number) => atMs < now.getTime() - seconds * 1000;
  if ((LIVE_STATES as readonly string[]).includes(lease.state)) {
    const due = Math.min(lease.deadline.getTime(), lease.fencedAt?.getTime() ?? Infinity);
    return before(due, alarms.notDeadSeconds) ? 'end' : undefined;
  }
  const dead = lease.state === 'revoked' ? lease.revokedAt : null;
  return dead && before(dead.getTime(), alarms.notSettledSeconds) ? 'settle' : undefined;
}

/** By target; the reason is that of the lease that was tried most often. */
export function lateTargets(
  tables: LedgerTables,
  now: Date,
  alarms: AlarmBounds,
  limit: number,
): readonly LateTarget[] {
  const late = [...tables.pending].flatMap((id) => {
    const lease = tables.leases.get(id);
    const alarm = lease && lateness(lease, now, alarms);
    return lease && alarm ? [{ lease, alarm }] : [];
  });
  const names = [...new Set(late.map(({ lease }) => lease.snapshot.target))].sort();
  return names
    .map((target) => {
      const here = late.filter(({ lease }) => lease.snapshot.target === target);
      const tried = here
        .map(({ lease }) => lease)
        .filter(({ lateReason }) => lateReason !== null)
        .sort((one, other) => other.attempts - one.attempts);
      return {
        target,
        notDeadInTime: here.filter(({ alarm }) => alarm === 'end').length,
        notSettled: here.filter(({ alarm }) => alarm === 'settle').length,
        reason: tried[0]?.lateReason ?? null,
      };
    })
    .sort((a, b) => b.notDeadInTime + b.notSettled - a.notDeadInTime - a.notSettled)
    .slice(0, limit);
}
