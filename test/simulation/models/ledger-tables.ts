import { canonicalJson } from '../../../src/foundation/canonical-json.ts';
import type { Json } from '../../../src/foundation/canonical-json.ts';
import { TRANSITIONS } from '../../../src/ledger/lease-states.ts';
import type { AuditEvent, Lease, Task } from '../../../src/ledger/lease.ts';
import type { ReconciliationRow } from './ledger-reconciling.ts';
import type { AgentRecord, SelfCheck, Stop } from '../../../src/ledger/stop.ts';

/** What the ledger's server would refuse: a bug of ours. */
export class ModelLedgerFault extends Error {
  override readonly name = 'LedgerFault';
}

/** Told of every committed change; checkers live on it. */
export type LedgerWatcher = {
  readonly lease?: (after: Lease, before: Lease | undefined) => void;
  readonly task?: (after: Task, before: Task | undefined) => void;
  readonly event?: (event: AuditEvent) => void;
};

type KeptKey = {
  readonly requestSha256: Buffer;
  readonly leaseId: string;
  readonly keptUntil: Date;
};

type Named = { readonly leaseId?: string | null; readonly taskId?: string | null };

/** The ledger's tables with their constraints: what a statement may write, it writes through here. */
export class LedgerTables {
  readonly leases = new Map<string, Lease>();
  readonly tasks = new Map<string, Task>();
  /** Leases that are not closed: what `due_at` indexes. */
  readonly pending = new Set<string>();
  readonly byName = new Map<string, string>();
  readonly byHash = new Map<string, string>();
  readonly leasesOfTask = new Map<string, string[]>();
  readonly leasesOfAgent = new Map<string, string[]>();
  /** The newest last. */
  readonly tasksByIdentifier = new Map<string, string[]>();
  readonly openTasks = new Set<string>();
  readonly withResidue = new Set<string>();
  /** Instants, in whole seconds, at which leases of an agent were opened. */
  readonly openings = new Map<string, number[]>();
  /** SHA-256 of what was asked for, by lease. */
  readonly requests = new Map<string, string>();
  readonly agents = new Map<string, Omit<AgentRecord, 'id' | 'live'>>();
  /** Revocations under way. */
  readonly stops = new Map<string, Stop & { readonly madeAt: Date }>();
  /** By hash; the generation is the order in which they were first seen. */
  readonly catalogues = new Map<
    string,
    { readonly generation: number; readonly inUseUntil: Date }
  >();
  readonly selfChecks = new Map<string, Omit<SelfCheck, 'now'>>();
  readonly epoch: { epoch: number; confirmedAt: Date | null } = { epoch: 1, confirmedAt: null };
  readonly reconciliation: ReconciliationRow = {
    begunAt: null,
    hasEnded: false,
    endedAt: null,
    claimOwner: null,
    claimUntil: null,
    result: null,
  };
  /** By agent and hash of the Idempotency-Key. */
  readonly keys = new Map<string, KeptKey>();
  readonly eventIds = new Set<string>();
  readonly eventsOfLease = new Map<string, AuditEvent[]>();
  readonly eventsOfTask = new Map<string, AuditEvent[]>();
  readonly watchers: LedgerWatcher[] = [];
  #events = 0;

  /** The agent's row, made where it is missing. */
  seeAgent(id: string, now: Date): Omit<AgentRecord, 'id' | 'live'> {
    const agent = this.agents.get(id) ?? { firstSeenAt: now, quarantine: null };
    this.agents.set(id, agent);
    return agent;
  }

  insertTask(task: Task): void {
    const key = identifierKey(task.agentId, task.identifier);
    const open = this.newestTask(task.agentId, task.identifier);
    if (open?.endedAt === null) throw new ModelLedgerFault('task_open: one open task a identifier');
    if (this.tasks.has(task.id)) throw new ModelLedgerFault('task_pkey');
    listIn(this.tasksByIdentifier, key).push(task.id);
    this.tasks.set(task.id, task);
    this.openTasks.add(task.id);
    for (const { task: told } of this.watchers) told?.(task, undefined);
  }

  newestTask(agentId: string, identifier: string): Task | undefined {
    const ids = this.tasksByIdentifier.get(identifierKey(agentId, identifier));
    return this.tasks.get(ids?.at(-1) ?? '');
  }

  updateTask(before: Task, changes: Partial<Task>): Task {
    const after = { ...before, ...changes };
    this.tasks.set(after.id, after);
    if (after.endedAt !== null) this.openTasks.delete(after.id);
    for (const { task: told } of this.watchers) told?.(after, before);
    return after;
  }

  insertLease(lease: Lease): void {
    if (this.leases.has(lease.id)) throw new ModelLedgerFault('lease_pkey');
    if (this.byName.has(lease.credentialName)) {
      throw new ModelLedgerFault('lease_credential_name');
    }
    this.leases.set(lease.id, lease);
    this.byName.set(lease.credentialName, lease.id);
    listIn(this.leasesOfTask, lease.taskId).push(lease.id);
    listIn(this.leasesOfAgent, lease.agentId).push(lease.id);
    this.pending.add(lease.id);
    for (const { lease: told } of this.watchers) told?.(lease, undefined);
  }

  /** Holds the triggers and constraints of the real table. */
  updateLease(before: Lease, changes: Partial<Lease>): Lease {
    const after: Lease = { ...before, ...changes };
    if (before.state !== after.state && !isForward(before, after)) {
      throw new ModelLedgerFault(`lease_goes_forward: ${before.state} to ${after.state}`);
    }
    checkConstraints(after, this.hashOf(after.id));
    this.leases.set(after.id, after);
    if (['settled', 'abandoned'].includes(after.state)) this.pending.delete(after.id);
    if (after.state === 'settled' && after.residue !== null) this.withResidue.add(after.id);
    else this.withResidue.delete(after.id);
    for (const { lease: told } of this.watchers) told?.(after, before);
    return after;
  }

  keepHash(leaseId: string, sha256: Buffer): void {
    const hex = sha256.toString('hex');
    const holder = this.byHash.get(hex);
    if (holder !== undefined && holder !== leaseId) throw new ModelLedgerFault('lease_credential');
    this.byHash.set(hex, leaseId);
    this.#hashes.set(leaseId, hex);
  }

  hashOf(leaseId: string): string | undefined {
    return this.#hashes.get(leaseId);
  }

  readonly #hashes = new Map<string, string>();

  writeEvent(event: AuditEvent): void {
    if (this.eventIds.has(event.id)) throw new ModelLedgerFault('audit_event_pkey');
    this.eventIds.add(event.id);
    if (event.leaseId !== null) listIn(this.eventsOfLease, event.leaseId).push(event);
    if (event.taskId !== null) listIn(this.eventsOfTask, event.taskId).push(event);
    for (const { event: told } of this.watchers) told?.(event);
  }

  /** An event that a set operation writes: its id is the ledger's own. */
  note(
    at: Date,
    kind: string,
    agentId: string | null,
    of: Named,
    body: Record<string, Json | undefined>,
  ) {
    this.writeEvent({
      id: `event-${++this.#events}`,
      at,
      kind,
      agentId,
      taskId: of.taskId ?? null,
      leaseId: of.leaseId ?? null,
      body: canonicalJson(body),
    });
  }

  noteOfLease(at: Date, kind: string, lease: Lease, body: Record<string, Json | undefined>): void {
    this.note(at, kind, lease.agentId, { taskId: lease.taskId, leaseId: lease.id }, body);
  }
}

function identifierKey(agentId: string, identifier: string): string {
  return `${agentId} ${identifier}`;
}

export function listIn<Item>(lists: Map<string, Item[]>, key: string): Item[] {
  const known = lists.get(key);
  if (known) return known;
  const list: Item[] = [];
  lists.set(key, list);
  return list;
}

function isForward(before: Lease, after: Lease): boolean {
  return Object.values(TRANSITIONS).some(
    ({ from, to }) => to === after.state && (from as readonly string[]).includes(before.state),
  );
}

function checkConstraints(lease: Lease, hash: string | undefined): void {
  const { state } = lease;
  const known = lease.backendLeaseId !== null && hash !== undefined && lease.activatedAt !== null;
  const open = ['minting', 'active', 'abandoned'].includes(state);
  const closed = state === 'revoked' || state === 'settled';
  const rules = {
    lease_active_is_known: state !== 'active' || known,
    lease_end_has_cause: open
      ? lease.fencedAt === null && lease.endCause === null
      : lease.fencedAt !== null && lease.endCause !== null,
    lease_death_has_evidence: !closed || (lease.revokedAt !== null && lease.evidence !== null),
    lease_settled_has_instant: (state === 'settled') === (lease.settledAt !== null),
    lease_residue_has_instant: (lease.residue === null) === (lease.residueSince === null),
    lease_claim_has_deadline: (lease.claimOwner === null) === (lease.claimUntil === null),
    lease_mint_end_has_outcome: (lease.mintEndedAt === null) === (lease.mintOutcome === null),
  };
  const broken = Object.entries(rules).find(([, holds]) => !holds);
  if (broken) throw new ModelLedgerFault(broken[0]);
}
