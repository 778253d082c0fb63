import type { EndCause, Lease } from '../../../src/ledger/lease.ts';
import { selects } from '../../../src/ledger/stop.ts';
import type {
  AgentRecord,
  FenceSelected,
  Quarantine,
  QuarantineAgent,
  SelectedLeases,
  Selector,
  Stop,
} from '../../../src/ledger/stop.ts';
import { byId, fence } from './ledger-fencing.ts';
import type { ReplicaOfLedger } from './ledger-fencing.ts';
import type { LedgerTables } from './ledger-tables.ts';

export function quarantineAgent(
  tables: LedgerTables,
  now: Date,
  { agentId, by, reason }: QuarantineAgent,
): { readonly quarantine: Quarantine; readonly changed: boolean } {
  const agent = tables.seeAgent(agentId, now);
  if (agent.quarantine) return { quarantine: agent.quarantine, changed: false };
  const quarantine = { since: now, by, reason };
  tables.agents.set(agentId, { ...agent, quarantine });
  tables.note(now, 'agent.quarantined', agentId, {}, { by, reason });
  return { quarantine, changed: true };
}

export function releaseAgent(
  tables: LedgerTables,
  now: Date,
  { agentId, by, reason }: QuarantineAgent,
): boolean {
  const agent = tables.agents.get(agentId);
  if (!agent?.quarantine) return false;
  tables.agents.set(agentId, { ...agent, quarantine: null });
  tables.note(now, 'agent.released', agentId, {}, { by, reason });
  return true;
}

export function fenceSelected(
  tables: LedgerTables,
  now: Date,
  replica: ReplicaOfLedger,
  { selector, cause, reason, by, claim }: FenceSelected,
  limit: number,
): readonly Lease[] {
  return selected(tables, selector)
    .filter((lease) => lease.state !== 'revoking' && isInForce(tables, lease, cause))
    .sort(byId)
    .slice(0, limit)
    .map((lease) => fence(tables, lease, { cause, reason, by }, now, claim ? replica : undefined));
}

export function dyingSelected(
  tables: LedgerTables,
  selector: Selector,
  limit: number,
): readonly Lease[] {
  return selected(tables, selector)
    .filter(({ state }) => state === 'revoking')
    .sort(byId)
    .slice(0, limit);
}

export function countSelected(
  tables: LedgerTables,
  selector: Selector,
  cause: EndCause,
): SelectedLeases {
  const live = selected(tables, selector);
  const dying = live.filter(({ state }) => state === 'revoking').length;
  const open = live.filter(
    (lease) => lease.state !== 'revoking' && isInForce(tables, lease, cause),
  );
  return { open: open.length, dying };
}

export function beginStop(tables: LedgerTables, now: Date, stop: Stop, limit: number): boolean {
  if (tables.stops.size >= limit) return false;
  tables.stops.set(stop.id, { ...stop, madeAt: now });
  const { by, reason, selector } = stop;
  tables.note(now, 'revocation.begun', selector.agentId, {}, { by, reason });
  return true;
}

export function olderStops(tables: LedgerTables, now: Date, seconds: number): readonly Stop[] {
  return [...tables.stops.values()]
    .filter(({ madeAt }) => madeAt.getTime() <= now.getTime() - seconds * 1000)
    .map(({ id, selector, reason, by }) => ({ id, selector, reason, by }));
}

/** Why a mint that comes back now is fenced instead of activated. */
export function stoppedFor(tables: LedgerTables, lease: Lease): string | undefined {
  const stops = [...tables.stops.values()];
  return stops.find(({ selector }) => matches(tables, selector, lease))?.reason;
}

/** Who was released meanwhile keeps what came after. */
function isInForce(tables: LedgerTables, { agentId }: Lease, cause: EndCause): boolean {
  return cause !== 'quarantine' || (tables.agents.get(agentId)?.quarantine ?? null) !== null;
}

function selected(tables: LedgerTables, selector: Selector): Lease[] {
  return [...tables.pending]
    .flatMap((id) => tables.leases.get(id) ?? [])
    .filter(({ state }) => state !== 'revoked')
    .filter((lease) => matches(tables, selector, lease));
}

function matches(tables: LedgerTables, selector: Selector, lease: Lease): boolean {
  const task = tables.tasks.get(lease.taskId);
  const of = { taskType: task?.taskType ?? null, workflow: task?.workflow ?? null };
  const { agentId, instance, scope, issuer } = lease;
  return selects(selector, { agentId, instance, scope, issuer, ...of });
}

export function agentRecord(tables: LedgerTables, id: string): AgentRecord | null {
  const agent = tables.agents.get(id);
  if (!agent) return null;
  const states = (tables.leasesOfAgent.get(id) ?? []).map((one) => tables.leases.get(one)?.state);
  const count = (state: string) => states.filter((one) => one === state).length;
  const live = {
    minting: count('minting'),
    active: count('active'),
    revoking: count('revoking'),
  };
  return { id, ...agent, live };
}

export function agentRecords(tables: LedgerTables): readonly AgentRecord[] {
  return [...tables.agents.keys()].sort().flatMap((id) => agentRecord(tables, id) ?? []);
}

export function quarantinedNotFenced(tables: LedgerTables): readonly AgentRecord[] {
  return [...tables.agents]
    .filter(([, { quarantine }]) => quarantine !== null)
    .flatMap(([id]) => agentRecord(tables, id) ?? [])
    .filter(({ live }) => live.minting + live.active > 0)
    .sort(byId);
}
