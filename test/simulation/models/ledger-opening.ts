import { canonicalJson } from '../../../src/foundation/canonical-json.ts';
import { failure } from '../../../src/foundation/failure.ts';
import type { Failure } from '../../../src/foundation/failure.ts';
import { fail } from '../../../src/foundation/result.ts';
import type { Result } from '../../../src/foundation/result.ts';
import type { Lease, Task } from '../../../src/ledger/lease.ts';
import type {
  Admission,
  Admit,
  EarlierExchange,
  ExchangeFacts,
  OpenedLease,
} from '../../../src/ledger/ledger.ts';
import { AGENT_QUARANTINED, REVOCATION_UNDER_WAY, selects } from '../../../src/ledger/stop.ts';
import { fence, later, timeOut } from './ledger-fencing.ts';
import type { ReplicaOfLedger } from './ledger-fencing.ts';
import { ModelLedgerFault } from './ledger-tables.ts';
import type { LedgerTables } from './ledger-tables.ts';

type Agent = { readonly id: string; readonly owner: string };

const LIFE_LEFT_MIN_MS = 2_000;

export function readFacts(
  tables: LedgerTables,
  now: Date,
  agentId: string,
  identifier: string,
  keySha256?: Buffer,
): ExchangeFacts {
  const second = Math.floor(now.getTime() / 1000);
  const leases = tables.leasesOfAgent.get(agentId) ?? [];
  return {
    now,
    openLeases: leases.filter((id) => isLive(tables.leases.get(id))).length,
    recentLeases: (tables.openings.get(agentId) ?? []).filter((at) => at >= second - 60).length,
    quarantined: (tables.agents.get(agentId)?.quarantine ?? null) !== null,
    stops: [...tables.stops.values()].map(({ selector }) => selector),
    task: tables.newestTask(agentId, identifier) ?? null,
    earlier: keySha256 === undefined ? null : earlierExchange(tables, now, agentId, keySha256),
  };
}

export function isLive(lease: Lease | undefined): boolean {
  return lease !== undefined && ['minting', 'active', 'revoking'].includes(lease.state);
}

function earlierExchange(
  tables: LedgerTables,
  now: Date,
  agentId: string,
  keySha256: Buffer,
): EarlierExchange | null {
  const kept = tables.keys.get(`${agentId} ${keySha256.toString('hex')}`);
  const lease = tables.leases.get(kept?.leaseId ?? '');
  if (!kept || !lease || kept.keptUntil <= now) return null;
  return { requestSha256: kept.requestSha256, lease };
}

/** What the caller admits of the facts that were read under lock, if the ledger can keep it. */
export function admission(
  agentId: string,
  facts: ExchangeFacts,
  identifier: string,
  admit: Admit,
): Result<Admission, Failure> {
  const admitted = admit(facts);
  if (!admitted.ok) return admitted;
  const { openTask, lease } = admitted.value;
  if (openTask !== null && openTask.identifier !== identifier) {
    throw new TypeError('the admitted task has another identifier than the one asked about');
  }
  if (facts.quarantined) return fail(AGENT_QUARANTINED);
  if (isStopped(agentId, facts, admitted.value)) return fail(REVOCATION_UNDER_WAY);
  if (lease.deadline.getTime() - facts.now.getTime() < LIFE_LEFT_MIN_MS) {
    const detail = 'The ledger answered too late for the life asked for. Try again.';
    return fail(failure('ledger_unreachable', detail, { retryAfterSeconds: 1 }));
  }
  const open = facts.task;
  if (openTask === null && !(open?.endedAt === null && open.deadline > facts.now)) {
    return fail(failure('task_ended', 'The task has ended. Declare another identifier.'));
  }
  return admitted;
}

function isStopped(agentId: string, facts: ExchangeFacts, { openTask, lease }: Admission): boolean {
  const of = openTask ?? facts.task;
  const { instance, scope, issuer } = lease;
  const within = { taskType: of?.taskType ?? null, workflow: of?.workflow ?? null };
  const asked = { agentId, instance, scope, issuer, ...within };
  return facts.stops.some((stop) => selects(stop, asked));
}

/** The second half of an exchange's transaction: writes and commits. */
export function commitOpening(
  tables: LedgerTables,
  now: Date,
  replica: ReplicaOfLedger,
  agent: Agent,
  facts: ExchangeFacts,
  admitted: Admission,
): OpenedLease {
  const { openTask, lease, keyed } = admitted;
  // What a unique index refuses rolls back all of it.
  if (tables.leases.has(lease.id) || tables.byName.has(lease.credentialName)) {
    throw new ModelLedgerFault('SQLSTATE 23505');
  }
  tables.seeAgent(agent.id, now);
  const replaced = tables.leases.get(keyed?.replaces ?? '');
  const superseded =
    replaced && isOpen(replaced) ? supersede(tables, replaced, now, replica) : null;
  const stale = facts.task;
  if (openTask !== null && stale?.endedAt === null) timeOut(tables, stale, now);
  const task = openTask === null ? facts.task : insertTask(tables, agent, admitted, now);
  if (task === null) throw new TypeError('an admission names no task');
  const opened = insertLease(tables, replica, { agent, taskId: task.id, now }, admitted);
  if (keyed) {
    tables.keys.set(`${agent.id} ${keyed.keySha256.toString('hex')}`, {
      requestSha256: lease.requestSha256,
      leaseId: lease.id,
      keptUntil: later(now, keyed.keptSeconds * 1000),
    });
  }
  return { lease: opened, task, superseded };
}

function isOpen({ state }: Lease): boolean {
  return state === 'minting' || state === 'active';
}

function supersede(tables: LedgerTables, lease: Lease, now: Date, replica: ReplicaOfLedger): Lease {
  const reason = 'a retry with the same Idempotency-Key replaced it';
  const by = `agent:${lease.agentId}`;
  return fence(tables, lease, { cause: 'superseded', reason, by }, now, replica);
}

function insertTask(
  tables: LedgerTables,
  agent: Agent,
  { openTask, lease }: Admission,
  now: Date,
): Task {
  if (openTask === null) throw new TypeError('no task to open');
  const task: Task = {
    ...openTask,
    agentId: agent.id,
    owner: agent.owner,
    openedByInstance: lease.instance,
    openedAt: now,
    endedAt: null,
    endCause: null,
    outcome: null,
    note: null,
  };
  tables.insertTask(task);
  tables.note(now, 'task.opened', agent.id, { taskId: task.id }, { owner: agent.owner });
  return task;
}

function insertLease(
  tables: LedgerTables,
  replica: ReplicaOfLedger,
  { agent, taskId, now }: { readonly agent: Agent; readonly taskId: string; readonly now: Date },
  admitted: Admission,
): Lease {
  const { mintDeadlineSeconds, requestSha256, ...given } = admitted.lease;
  const mintDeadline = later(now, mintDeadlineSeconds * 1000);
  const lease: Lease = {
    ...given,
    taskId,
    agentId: agent.id,
    owner: agent.owner,
    state: 'minting',
    revocabilityReason: null,
    createdAt: now,
    mintDeadline,
    activatedAt: null,
    mintEndedAt: null,
    mintOutcome: null,
    backendLeaseId: null,
    fencedAt: null,
    endCause: null,
    endReason: null,
    revokedAt: null,
    settledAt: null,
    targetOid: null,
    evidence: null,
    residue: null,
    residueSince: null,
    claimOwner: replica.name,
    claimUntil: mintDeadline,
    attempts: 0,
    nextAttemptAt: null,
    lateReason: null,
    replacesLeaseId: admitted.keyed?.replaces ?? null,
  };
  tables.insertLease(lease);
  tables.requests.set(lease.id, requestSha256.toString('hex'));
  const second = Math.floor(now.getTime() / 1000);
  const openings = tables.openings.get(agent.id)?.filter((at) => at >= second - 120) ?? [];
  tables.openings.set(agent.id, [...openings, second]);
  const { body, ...event } = admitted.event(taskId);
  tables.writeEvent({ ...event, at: now, body: canonicalJson(body) });
  return lease;
}

export function forgetKeys(tables: LedgerTables, now: Date, limit: number): number {
  const past = [...tables.keys]
    .filter(([, { keptUntil }]) => keptUntil <= now)
    .sort(([, one], [, other]) => one.keptUntil.getTime() - other.keptUntil.getTime())
    .slice(0, limit);
  for (const [key] of past) tables.keys.delete(key);
  return past.length;
}

/** For each lease the one before it of the same instance and parameters. */
export function repeatsOf(
  tables: LedgerTables,
  leaseIds: readonly string[],
  withinSeconds: number,
): ReadonlyMap<string, string> {
  const repeats = new Map<string, string>();
  for (const id of leaseIds) {
    const lease = tables.leases.get(id);
    if (!lease) continue;
    const from = lease.createdAt.getTime() - withinSeconds * 1000;
    const before = (tables.leasesOfAgent.get(lease.agentId) ?? [])
      .filter((other) => other < id && tables.requests.get(other) === tables.requests.get(id))
      .flatMap((other) => tables.leases.get(other) ?? [])
      .filter((other) => other.instance === lease.instance && other.createdAt.getTime() > from)
      .map((other) => other.id)
      .sort();
    const last = before.at(-1);
    if (last !== undefined) repeats.set(id, last);
  }
  return repeats;
}
