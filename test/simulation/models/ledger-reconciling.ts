import { canonicalJson } from '../../../src/foundation/canonical-json.ts';
import type { Json } from '../../../src/foundation/canonical-json.ts';
import type { Lease, NewAuditEvent } from '../../../src/ledger/lease.ts';
import type {
  LastReconciliation,
  LedgerEpoch,
  OpenLease,
  Page,
} from '../../../src/ledger/ledger.ts';
import { byId, later } from './ledger-fencing.ts';
import type { ReplicaOfLedger } from './ledger-fencing.ts';
import type { LedgerTables } from './ledger-tables.ts';

/** The one reconciliation that may be under way, and the last one that ended. */
export type ReconciliationRow = {
  begunAt: Date | null;
  /** Whether the last one that began came to its end. */
  hasEnded: boolean;
  endedAt: Date | null;
  claimOwner: string | null;
  claimUntil: Date | null;
  result: Json;
};

export function beginReconciliation(
  { reconciliation: row }: LedgerTables,
  now: Date,
  { claimSeconds }: ReplicaOfLedger,
  pass: string,
  dueAfterSeconds: number | null,
): 'begun' | 'not_due' | 'running' {
  if (row.claimUntil !== null && row.claimUntil > now) return 'running';
  const { begunAt, hasEnded } = row;
  const due =
    dueAfterSeconds === null ||
    begunAt === null ||
    !hasEnded ||
    later(begunAt, dueAfterSeconds * 1000) <= now;
  if (!due) return 'not_due';
  row.begunAt = now;
  row.hasEnded = false;
  row.claimOwner = pass;
  row.claimUntil = later(now, claimSeconds * 1000);
  return 'begun';
}

export function keepReconciliation(
  { reconciliation: row }: LedgerTables,
  now: Date,
  { claimSeconds }: ReplicaOfLedger,
  pass: string,
): boolean {
  const ours = row.claimOwner === pass;
  if (ours) row.claimUntil = later(now, claimSeconds * 1000);
  return ours;
}

export function endReconciliation(
  { reconciliation: row }: LedgerTables,
  now: Date,
  pass: string,
  result: Json | null,
): void {
  if (row.claimOwner !== pass) return;
  row.claimOwner = null;
  row.claimUntil = null;
  if (result === null) return;
  row.endedAt = now;
  row.hasEnded = true;
  row.result = JSON.parse(canonicalJson(result)) as Json;
}

export function lastReconciliation({ reconciliation }: LedgerTables): LastReconciliation | null {
  const { endedAt, result } = reconciliation;
  return endedAt === null ? null : { endedAt, result };
}

/** What may live first, then what is dead: a lease only moves from the one to the other. */
export function openLeases(
  tables: LedgerTables,
  limit: number,
  cursor: string | null,
): Page<OpenLease> {
  const [part, after] = cursor === null ? ['live', ''] : cursor.split(' ');
  const rest = [...tables.pending]
    .flatMap((id) => tables.leases.get(id) ?? [])
    .filter(({ state, id }) => (state === 'revoked') === (part === 'dead') && id > (after ?? ''))
    .sort(byId)
    .slice(0, limit);
  const last = rest.at(-1);
  const next = part === 'live' ? 'dead ' : null;
  return {
    items: rest.map(openLease),
    cursor: rest.length === limit && last ? `${part} ${last.id}` : next,
  };
}

function openLease(lease: Lease): OpenLease {
  const { id, state, credentialName, backendLeaseId, mintOutcome, createdAt, activatedAt } = lease;
  const { target, mount, role } = lease.snapshot;
  return {
    ...{ id, state, credentialName, backendLeaseId, mintOutcome, createdAt, activatedAt },
    ...{ target, mount, role },
  };
}

export function leasesByName(tables: LedgerTables, names: readonly string[]): readonly Lease[] {
  return names.flatMap((name) => tables.leases.get(tables.byName.get(name) ?? '') ?? []).sort(byId);
}

export function leasesByBackendId(
  tables: LedgerTables,
  ids: readonly string[],
  { from, until }: { readonly from: Date; readonly until: Date },
): readonly Lease[] {
  const wanted = new Set(ids);
  return [...tables.leases.values()]
    .filter(({ backendLeaseId }) => backendLeaseId !== null && wanted.has(backendLeaseId))
    .filter(({ createdAt }) => createdAt >= from && createdAt <= until)
    .sort(byId);
}

export function recordEvents(
  tables: LedgerTables,
  now: Date,
  events: readonly NewAuditEvent[],
): void {
  for (const event of events) {
    if (tables.eventIds.has(event.id)) continue;
    tables.writeEvent({ ...event, at: now, body: canonicalJson(event.body) });
  }
}

export function readEpoch(tables: LedgerTables): LedgerEpoch {
  return { ledger: '00000000-0000-7000-8000-000000000000', cluster: 'model', ...tables.epoch };
}

export function raiseEpoch(
  { epoch: row }: LedgerTables,
  now: Date,
  to: { readonly from: number; readonly to: number; readonly confirmed: boolean },
): boolean {
  if (row.epoch !== to.from) return false;
  row.epoch = to.to;
  if (to.confirmed) row.confirmedAt = now;
  return true;
}
