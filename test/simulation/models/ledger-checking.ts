import type { Lease } from '../../../src/ledger/lease.ts';
import type { Declared, SelfCheck } from '../../../src/ledger/stop.ts';
import { byId, fence, later } from './ledger-fencing.ts';
import type { LedgerTables } from './ledger-tables.ts';

export function noteCatalogue(
  { catalogues }: LedgerTables,
  now: Date,
  hash: string,
  inUseSeconds: number,
): { readonly newest: boolean; readonly now: Date } {
  const generation = catalogues.get(hash)?.generation ?? catalogues.size + 1;
  catalogues.set(hash, { generation, inUseUntil: later(now, inUseSeconds * 1000) });
  const newer = [...catalogues.values()].filter((one) => one.generation > generation);
  return { newest: newer.every(({ inUseUntil }) => inUseUntil <= now), now };
}

export function fenceUndeclared(
  tables: LedgerTables,
  now: Date,
  hash: string,
  declared: Declared,
  limit: number,
): readonly Lease[] {
  const mine = tables.catalogues.get(hash);
  const newer = [...tables.catalogues.values()].some(
    ({ generation, inUseUntil }) => mine && generation > mine.generation && inUseUntil > now,
  );
  if (!mine || newer) return [];
  return [...tables.pending]
    .flatMap((id) => tables.leases.get(id) ?? [])
    .filter(({ state }) => state === 'minting' || state === 'active')
    .sort(byId)
    .flatMap((lease) => {
      const reason = undeclared(tables, lease, declared);
      return reason === undefined ? [] : [{ lease, reason }];
    })
    .slice(0, limit)
    .map(({ lease, reason }) =>
      fence(tables, lease, { cause: 'catalogue', reason, by: 'mayfly' }, now),
    );
}

function undeclared(
  tables: LedgerTables,
  lease: Lease,
  { agents, scopes, taskTypes }: Declared,
): string | undefined {
  if (!agents.includes(lease.agentId)) {
    return 'its agent has ended, or is not in the catalogue any more';
  }
  if (!scopes.includes(lease.scope)) return 'its scope is not in the catalogue any more';
  const type = tables.tasks.get(lease.taskId)?.taskType ?? '';
  return taskTypes.includes(type) ? undefined : 'its task type is not in the catalogue any more';
}

export function takeSelfCheck(
  { selfChecks }: LedgerTables,
  now: Date,
  name: string,
  everySeconds: number,
): boolean {
  const last = selfChecks.get(name);
  if (last && now.getTime() - last.begunAt.getTime() < everySeconds * 1000) return false;
  const unknown = { succeededAt: null, failedAt: null, failure: null };
  selfChecks.set(name, { ...unknown, ...last, begunAt: now });
  return last !== undefined;
}

export function recordSelfCheck(
  { selfChecks }: LedgerTables,
  now: Date,
  name: string,
  failure: string | null,
): void {
  const last = selfChecks.get(name);
  if (!last) return;
  const outcome = failure === null ? { succeededAt: now } : { failedAt: now, failure };
  selfChecks.set(name, { ...last, ...outcome });
}

export function selfCheck({ selfChecks }: LedgerTables, now: Date, name: string): SelfCheck | null {
  const last = selfChecks.get(name);
  return last ? { now, ...last } : null;
}
