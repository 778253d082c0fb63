import type { ExchangeGrant } from '../../src/broker/broker.ts';
import { isDead } from '../../src/broker/end-until-dead.ts';
import type { Failure } from '../../src/foundation/failure.ts';
import type { Result } from '../../src/foundation/result.ts';
import { next, TRANSITIONS } from '../../src/ledger/lease-states.ts';
import type { Transition } from '../../src/ledger/lease-states.ts';
import type { AuditEvent, Lease, Task } from '../../src/ledger/lease.ts';
import { selects, SELECTS_NOTHING } from '../../src/ledger/stop.ts';
import type { Selector } from '../../src/ledger/stop.ts';
import { OPEN_LEASES, SCOPES } from './catalogue.ts';
import type { ModelBackend } from './models/backend-model.ts';
import type { LedgerTables } from './models/ledger-tables.ts';
import type { ModelRole, ModelTarget } from './models/target-model.ts';
import { EPOCH_MS } from './virtual-time.ts';

export type Violation = {
  /** As docs/lifecycle.md numbers them; `stuck` and `fault` for what is promised beside them. */
  readonly invariant: string;
  readonly what: string;
  /** Lease id, task id or name that it is about. */
  readonly subject: string;
};

/** Refusals of a known agent that are decisions, and so leave an event each. */
const NOT_DECIDED = new Set([
  'ledger_unreachable',
  'revocation_backlog',
  'guard_unreachable',
  'limit_denials',
  'stopping',
]);

/** Milliseconds that the transaction of an exchange may take, from its look at the clock on. */
const TRANSACTION_MS = 7_000;

type Asked = { permitted: number; denied: number };

/** What was asked for in one exchange. */
export type Wanted = {
  readonly token: string;
  readonly scope: string;
  readonly ttl: number | null;
};

type Seen = {
  readonly tables: LedgerTables;
  readonly backend: ModelBackend;
  readonly targets: ReadonlyMap<string, ModelTarget>;
  readonly nowMs: () => number;
  /** When the ledger's clock was last set. */
  readonly clockSetAtMs: () => number;
  readonly report: (violation: Violation) => void;
};

/** Watches every change of ledger, backend and targets, and compares it with the invariants. */
export class Checks {
  /** Credentials that reached their callers, by lease. */
  readonly handedOut = new Set<string>();
  /** Agents whose quarantine was answered, until their release is asked for. */
  readonly #stopped = new Set<string>();
  readonly #asked = new Map<string, Asked>();
  readonly #openedAtMs = new Map<string, number>();
  readonly #seen: Seen;

  constructor(seen: Seen) {
    this.#seen = seen;
    seen.tables.watchers.push({
      lease: (after, before) => this.#lease(after, before),
      task: (task) => this.#task(task),
      event: (event) => this.#event(event),
    });
    seen.backend.watchers.push({ minting: (name) => this.#minting(name) });
    for (const target of seen.targets.values()) {
      target.watchers.push({
        made: (role) => this.#made(role),
        loggedIn: (role) => this.#loggedIn(role),
        closed: (name) => this.#closed(target, name),
      });
    }
  }

  /** The answer of an exchange leaves the broker. */
  answered(wanted: Wanted, outcome: Result<ExchangeGrant, Failure>): void {
    const { permitted, denied } = this.#asked.get(wanted.token) ?? { permitted: 0, denied: 0 };
    if (outcome.ok) {
      if (permitted !== 1) this.#broken('I8', `granted with ${permitted} events`, wanted.token);
      this.#granted(wanted, outcome.value);
      return;
    }
    const { reason } = outcome.failure;
    if (!NOT_DECIDED.has(reason) && permitted + denied !== 1) {
      this.#broken('I8', `${reason} with ${permitted + denied} events`, wanted.token);
    }
  }

  #granted(wanted: Wanted, grant: ExchangeGrant): void {
    const lease = this.#seen.tables.leases.get(grant.lease.id);
    const { credential } = grant;
    if (!lease) return this.#broken('I1', 'granted without a lease', grant.lease.id);
    const known =
      lease.credentialName === credential.username &&
      lease.backendLeaseId !== null &&
      lease.activatedAt !== null &&
      this.#seen.tables.hashOf(lease.id) === credential.uri.sha256().toString('hex');
    if (!known) this.#broken('I1', 'granted before its name and lease id were kept', lease.id);
    const scope = SCOPES.find(({ name }) => name === wanted.scope);
    const task = this.#seen.tables.tasks.get(lease.taskId);
    const longest = Math.min(scope?.maxTtl ?? 0, wanted.ttl ?? Infinity);
    const life = (lease.deadline.getTime() - lease.createdAt.getTime()) / 1000;
    const isLong = grant.expiresInSeconds > longest || life > longest;
    if (isLong && !this.#clockWasSet(lease)) {
      this.#broken('I10', `${life} s granted, at most ${longest} s were to be`, lease.id);
    }
    if (grant.expiresInSeconds < 1) this.#broken('I10', 'granted without a life', lease.id);
    const replaced = this.#seen.tables.leases.get(lease.replacesLeaseId ?? '');
    if (replaced?.state === 'minting' || replaced?.state === 'active') {
      this.#broken('key', 'a retry was granted, and what it replaces lives', lease.id);
    }
    if (!task || lease.deadline > task.deadline) {
      this.#broken('I10', 'outlives its task', lease.id);
    }
  }

  /** I7: from its answer on nothing is granted, and all there is is on its way out. */
  quarantined(agentId: string, dying: number): void {
    this.#stopped.add(agentId);
    for (const id of this.#seen.tables.leasesOfAgent.get(agentId) ?? []) {
      const lease = this.#seen.tables.leases.get(id);
      if (!lease) continue;
      if (lease.state === 'minting' || lease.state === 'active') {
        this.#broken('I7', `${lease.state} after the quarantine was answered`, id);
      }
      if (dying === 0) this.#nothingLives(lease, 'quarantined, all said to be dead');
    }
  }

  /** A revocation that waited for all that was under way: what came before it is fenced. */
  revokedSelected(selector: Selector, askedAtMs: number): void {
    for (const id of this.#seen.tables.pending) {
      const lease = this.#seen.tables.leases.get(id);
      if (lease?.state !== 'minting' && lease?.state !== 'active') continue;
      const { agentId, instance, scope, issuer } = lease;
      const of = { ...SELECTS_NOTHING, agentId, instance, scope, issuer };
      const before = (this.#openedAtMs.get(id) ?? 0) < askedAtMs;
      if (before && selects(selector, of)) {
        this.#broken('I7', `${lease.state} after its revocation was answered`, id);
      }
    }
  }

  released(agentId: string): void {
    this.#stopped.delete(agentId);
  }

  /** A task's ending was answered with all its leases dead. */
  answeredDead(task: Task, leases: readonly Lease[]): void {
    for (const id of this.#seen.tables.leasesOfTask.get(task.id) ?? []) {
      const lease = this.#seen.tables.leases.get(id);
      if (lease && !isDead(lease)) this.#broken('I6', 'answered as dead, and is not', id);
    }
    for (const lease of leases) this.#nothingLives(lease, 'answered as dead');
  }

  #lease(after: Lease, before: Lease | undefined): void {
    const { state } = after;
    if (!before) {
      this.#openedAtMs.set(after.id, this.#seen.nowMs());
      this.#capsHold(after);
    } else if (before.state !== state) {
      const allowed = (Object.keys(TRANSITIONS) as Transition[]).some(
        (step) => next(before.state, step) === state,
      );
      if (!allowed) this.#broken('states', `${before.state} to ${state}`, after.id);
      if (state === 'revoked') this.#died(after);
      if (state === 'settled') this.#settled(after);
      if (state === 'abandoned') this.#nothingLives(after, 'abandoned');
    }
    if ((state === 'minting' || state === 'active') && before?.state !== state) {
      this.#mayGrant(after);
      const task = this.#seen.tables.tasks.get(after.taskId);
      if (task?.endedAt !== null) this.#broken('I6', `${state} below an ended task`, after.id);
    }
  }

  #mayGrant(lease: Lease): void {
    const agent = this.#seen.tables.agents.get(lease.agentId);
    if (this.#stopped.has(lease.agentId)) {
      this.#broken('I7', `${lease.state} although its agent is stopped`, lease.id);
    }
    if (lease.state === 'minting' && (agent?.quarantine ?? null) !== null) {
      this.#broken('I7', 'opened although its agent is quarantined', lease.id);
    }
  }

  #capsHold(lease: Lease): void {
    const { leases, leasesOfAgent } = this.#seen.tables;
    const all = (leasesOfAgent.get(lease.agentId) ?? []).flatMap((id) => leases.get(id) ?? []);
    // What a retry replaces is on its way out, and does not count against the retry.
    const replaced = new Set(all.map(({ replacesLeaseId }) => replacesLeaseId));
    const open = all.filter(({ id, state }) => {
      const dying = state === 'revoking' && !replaced.has(id);
      return state === 'minting' || state === 'active' || dying;
    });
    if (open.length > OPEN_LEASES) {
      this.#broken('caps', `${open.length} open leases of at most ${OPEN_LEASES}`, lease.id);
    }
  }

  #died(lease: Lease): void {
    const target = this.#seen.targets.get(lease.snapshot.target);
    if (lease.revocability === 'proven') {
      const evidence = lease.evidence as {
        readonly oid: number | null;
        readonly guard?: { readonly server: string };
        readonly prover?: { readonly server: string } | null;
      };
      const { oid } = evidence;
      const role = oid === null ? undefined : target?.everMade(oid);
      if (role?.name !== lease.credentialName) {
        this.#broken('I3', 'proven without having been seen alive', lease.id);
      }
      if (evidence.prover?.server !== target?.server) {
        this.#broken('I3', 'proven by a look at another server, or none', lease.id);
      }
    }
    this.#nothingLives(lease, 'recorded as dead');
  }

  #settled(lease: Lease): void {
    this.#nothingLives(lease, 'settled');
    // An id that never reached us cannot be asked for: its lease ends with its token, or is found by
    // a reconcile, and is looked for at the end.
    if (lease.backendLeaseId === null || this.#clockWasSet(lease)) return;
    if (this.#seen.backend.leases.has(lease.backendLeaseId)) {
      this.#broken('I3', 'settled, and the backend still has its lease', lease.id);
    }
  }

  /** What is known by the clock alone (a token's end) is not known where it was set. */
  #clockWasSet({ id }: Lease): boolean {
    return this.#seen.clockSetAtMs() >= (this.#openedAtMs.get(id) ?? 0) - TRANSACTION_MS;
  }

  #nothingLives(lease: Lease, when: string): void {
    // Without a guard there is only the backend's word, and the class says so.
    if (lease.snapshot.proof !== 'target') return;
    const target = this.#seen.targets.get(lease.snapshot.target);
    if (target?.lives(lease.credentialName) === true) {
      this.#broken('I3', `${when}, and its user lives`, lease.id);
    }
  }

  #task(task: Task): void {
    if (task.endedAt === null) return;
    // Its leases are fenced in the same transaction: looked at when that is over.
    queueMicrotask(() => {
      for (const id of this.#seen.tables.leasesOfTask.get(task.id) ?? []) {
        const lease = this.#seen.tables.leases.get(id);
        if (lease?.state === 'minting' || lease?.state === 'active') {
          this.#broken('I6', `${lease.state} below a task that ended`, id);
        }
      }
    });
  }

  #event(event: AuditEvent): void {
    if (!event.kind.startsWith('decision.')) return;
    const body = JSON.parse(event.body) as { readonly subject_token_sha256?: string };
    const token = body.subject_token_sha256;
    // The broker's own check of its quarantine comes with no token.
    if (token === undefined) return;
    const asked = this.#asked.get(token) ?? { permitted: 0, denied: 0 };
    this.#asked.set(token, asked);
    if (event.kind === 'decision.permitted') asked.permitted++;
    else asked.denied++;
    if (asked.permitted + asked.denied > 1) this.#broken('I8', 'two decisions', token);
  }

  #minting(name: string): void {
    if (!this.#leaseOf(name)) this.#broken('I1', 'minted before its name was committed', name);
  }

  #made(role: ModelRole): void {
    const lease = this.#leaseOf(role.name);
    if (!lease) return this.#broken('I1', 'a user without a committed name', role.name);
    const late = lease.snapshot.proof === 'target' && isDead(lease);
    if (late) this.#broken('I3', `a user of a lease that is ${lease.state}`, lease.id);
    if (role.deadlineMs > lease.deadline.getTime()) {
      this.#broken('I10', 'a user that outlives its lease', lease.id);
    }
  }

  #loggedIn(role: ModelRole): void {
    const lease = this.#leaseOf(role.name);
    if (lease?.snapshot.proof !== 'target') return;
    if (isDead(lease)) this.#broken('I3', `logged in, and is ${lease.state}`, lease.id);
  }

  /** Whoever holds a credential keeps it until its lease is fenced, or its time is up. */
  #closed(target: ModelTarget, name: string): void {
    const lease = this.#leaseOf(name);
    if (!lease || !this.handedOut.has(lease.id)) return;
    const open = lease.state === 'minting' || lease.state === 'active';
    const kept = this.#seen.backend.leases.get(lease.backendLeaseId ?? '');
    // The backend's own end of its lease, where the ledger's clock has been set back.
    if (kept && kept.expiresAtMs <= EPOCH_MS + this.#seen.nowMs()) return;
    if (open && target.now() < lease.deadline) {
      this.#broken('fence', 'ended at the target before it was fenced', lease.id);
    }
  }

  #leaseOf(name: string): Lease | undefined {
    return this.#seen.tables.leases.get(this.#seen.tables.byName.get(name) ?? '');
  }

  #broken(invariant: string, what: string, subject: string): void {
    this.#seen.report({ invariant, what, subject });
  }
}
