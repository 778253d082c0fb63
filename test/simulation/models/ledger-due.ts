import type { Lease } from '../../../src/ledger/lease.ts';
import type { DueTarget, DueWork, EndedBy } from '../../../src/ledger/ledger.ts';
import type { LedgerTables } from './ledger-tables.ts';

/** What is not dead though due has its turn within this: longer than claims and pauses. */
const TURN_WITHIN_MS = 30_000;

type Due = { readonly lease: Lease; readonly atMs: number };

/** What is to be ended or settled at this target and due by then, the longest due first. */
function dueAt(tables: LedgerTables, work: DueWork, target: string, untilMs: number) {
  const due: Due[] = [];
  for (const id of tables.pending) {
    const lease = tables.leases.get(id);
    if (lease?.snapshot.target !== target) continue;
    if ((lease.state === 'revoked') !== (work === 'settle')) continue;
    const atMs = dueAtMs(lease);
    if (atMs !== undefined && atMs <= untilMs) due.push({ lease, atMs });
  }
  return due.sort((one, other) => one.atMs - other.atMs);
}

export function dueTargets(
  tables: LedgerTables,
  now: Date,
  countUpTo: number,
): readonly DueTarget[] {
  const nowMs = now.getTime();
  const names = [...tables.pending].flatMap((id) => tables.leases.get(id)?.snapshot.target ?? []);
  return [...new Set(names)].sort().flatMap((target) => {
    const soon = dueAt(tables, 'end', target, nowMs + TURN_WITHIN_MS);
    const undead = soon.filter(({ lease, atMs }) => lease.state === 'revoking' || atMs <= nowMs);
    const toEnd = soon.some(({ atMs }) => atMs <= nowMs);
    const toSettle = dueAt(tables, 'settle', target, nowMs).length > 0;
    const counted = undead.slice(0, countUpTo);
    const toProve = counted.some(({ lease }) => endedBy(lease) === 'guard');
    const shown = { target, backlog: counted.length, toProve, toEnd, toSettle };
    return toEnd || toSettle || counted.length > 0 ? [shown] : [];
  });
}

function endedBy({ snapshot }: Lease): EndedBy {
  return snapshot.proof === 'target' ? 'guard' : 'backend';
}

/** In the order in which they are claimed: to end by the turn of agents, to settle by age. */
export function inTurn(
  tables: LedgerTables,
  now: Date,
  work: DueWork,
  target: string,
  by?: EndedBy,
): readonly Lease[] {
  const due = dueAt(tables, work, target, now.getTime()).filter(
    ({ lease }) => work === 'settle' || by === undefined || endedBy(lease) === by,
  );
  return (work === 'end' ? byTurns(due) : due).map(({ lease }) => lease);
}

/** Each agent's longest due first, then each agent's second, and so on. */
function byTurns(due: readonly Due[]): readonly Due[] {
  const turns = new Map<string, number>();
  return due
    .map((one) => {
      const turn = turns.get(one.lease.agentId) ?? 0;
      turns.set(one.lease.agentId, turn + 1);
      return { one, turn };
    })
    .sort((a, b) => a.turn - b.turn || a.one.atMs - b.one.atMs)
    .map(({ one }) => one);
}

/** When the sweep has to look at it next, in milliseconds; undefined: never. */
function dueAtMs(lease: Lease): number | undefined {
  const claim = lease.claimUntil?.getTime();
  const attempt = lease.nextAttemptAt?.getTime();
  const later = Math.max(claim ?? -Infinity, attempt ?? -Infinity);
  switch (lease.state) {
    case 'minting':
      return Math.min(lease.mintDeadline.getTime(), lease.deadline.getTime());
    case 'active':
      return lease.deadline.getTime();
    case 'revoking':
      return later === -Infinity ? lease.fencedAt?.getTime() : later;
    case 'revoked':
      return later === -Infinity ? lease.revokedAt?.getTime() : later;
    case 'settled':
    case 'abandoned':
      return undefined;
  }
}
