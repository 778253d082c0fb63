import type { Lease } from '../../src/ledger/lease.ts';
import type { Violation } from './checks.ts';
import type { LedgerServer } from './ledger-server.ts';
import type { ModelBackend } from './models/backend-model.ts';
import type { ModelRole } from './models/target-model.ts';
import type { Server } from './network.ts';
import type { Replica, TargetPlace } from './replica.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Milliseconds between two looks. */
const TICK_MS = 500;

/** Milliseconds; docs/lifecycle.md publishes both. A look may come one tick late. */
const BOUND_MS = 5_000 + TICK_MS;
const BOUND_ALL_WELL_MS = 3_000 + TICK_MS;

/**
 * Milliseconds after the end of a fault during which its effects may last. A server that was frozen
 * or cut off leaves calls that are given up after 17 seconds and tried once more.
 */
const GRACE_MS = { down: 3_000, frozen: 36_000, cut: 36_000, up: 3_000 };

/** Milliseconds that a replica needs to come to its first pass. */
const STARTING_MS = 2_500;

/** Milliseconds in which what is past its deadline is claimed, a few seconds of others' before it. */
const CLAIMED_MS = 8_000;

/** Milliseconds that claims and pauses may last longer where the ledger's clock was set back. */
const FARTHEST_STEP_MS = 600_000;

/** Milliseconds in which the ledger's own claims, back-offs and lapses have had their turn. */
const PATIENCE_MS = 120_000;

type Watched = { wellSinceMs: number; graceMs: number };

type Looked = {
  readonly time: VirtualTime;
  readonly ledger: LedgerServer;
  readonly backend: ModelBackend;
  readonly backendServer: Server;
  readonly targets: ReadonlyMap<string, TargetPlace>;
  readonly replicas: () => readonly Replica[];
  /** When a clock was last set, in virtual time. */
  readonly clockSetAtMs: () => number;
  readonly report: (violation: Violation) => void;
};

/** Looks at intervals whether anything lives too long or waits without a reason. */
export class Monitor {
  /** The longest life past a deadline that was seen while all was well, milliseconds. */
  longestMs = 0;
  readonly #looked: Looked;
  readonly #watched = new Map<Server, Watched>();
  readonly #overdueMs = new Map<ModelRole, number>();
  #servingSinceMs = Infinity;
  #stopped = false;

  constructor(looked: Looked) {
    this.#looked = looked;
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
  }

  #tick(): void {
    if (this.#stopped) return;
    const { time, ledger, backendServer, targets } = this.#looked;
    this.#watchReplicas();
    const ledgerMs = this.#wellForMs(ledger.server);
    const backendMs = this.#wellForMs(backendServer);
    for (const [name, place] of targets) {
      const targetMs = this.#wellForMs(place.server);
      if (name !== 'legacy') this.#deadlines(place, targetMs, Math.min(ledgerMs, backendMs));
      this.#leases(name, Math.min(targetMs, ledgerMs), Math.min(backendMs, ledgerMs));
    }
    time.after(TICK_MS, () => this.#tick());
  }

  /** For how long some replica has served without a break. */
  #watchReplicas(): void {
    const { time, replicas } = this.#looked;
    const serving = replicas().some(
      ({ process, startedAtMs }) =>
        process.alive &&
        process.pausedUntilMs <= time.nowMs - STARTING_MS &&
        startedAtMs <= time.nowMs - STARTING_MS,
    );
    if (!serving) this.#servingSinceMs = Infinity;
    else this.#servingSinceMs = Math.min(this.#servingSinceMs, time.nowMs);
  }

  /** For how long this server, the clocks and some replica have been well; negative: not yet. */
  #wellForMs(server: Server): number {
    const { time, clockSetAtMs, backend, backendServer } = this.#looked;
    const sealed = server === backendServer && backend.sealed;
    const known = this.#watched.get(server) ?? { wellSinceMs: 0, graceMs: 0 };
    this.#watched.set(server, known);
    if (!server.isHealthy() || sealed || server.disturbed !== null) {
      const worst = Math.max(GRACE_MS[server.condition], GRACE_MS[server.disturbed ?? 'up']);
      server.disturbed = null;
      known.graceMs = Math.max(known.graceMs, worst);
      known.wellSinceMs = time.nowMs;
    } else if (time.nowMs - known.wellSinceMs > known.graceMs) {
      known.graceMs = 0;
    }
    const since = Math.max(
      known.wellSinceMs + known.graceMs,
      this.#servingSinceMs,
      clockSetAtMs() + GRACE_MS.up,
    );
    return time.nowMs - since;
  }

  /** I4: nothing outlives its deadline by more than the bound. */
  #deadlines({ model }: TargetPlace, targetMs: number, othersMs: number): void {
    const { time, ledger } = this.#looked;
    const now = Math.min(model.now().getTime(), ledger.model.now().getTime());
    for (const role of model.usable()) {
      if (role.deadlineMs > now) continue;
      // A session that does not end when told to is the holder's delay, not ours.
      const held = Math.max(role.stubbornUntilMs, role.lockedUntilMs) + GRACE_MS.up;
      if (targetMs < 0 || held > time.nowMs) this.#overdueMs.set(role, 0);
      const overdue = (this.#overdueMs.get(role) ?? -TICK_MS) + TICK_MS;
      this.#overdueMs.set(role, overdue);
      this.longestMs = Math.max(this.longestMs, overdue);
      const bound = othersMs > overdue + BOUND_MS ? BOUND_ALL_WELL_MS : BOUND_MS;
      if (overdue > bound) {
        this.#broken('I4', `lives ${overdue} ms past its deadline`, role.name);
      }
    }
  }

  #leases(target: string, targetMs: number, backendMs: number): void {
    const { ledger, time, clockSetAtMs } = this.#looked;
    const { tables } = ledger.model;
    const now = ledger.model.now().getTime();
    const guard = target !== 'legacy';
    for (const id of tables.pending) {
      const lease = tables.leases.get(id);
      if (lease?.snapshot.target !== target) continue;
      const waits = stuckFor(lease, now, guard);
      // The hands that end things at a target are busy while it says nothing.
      const books = lease.state === 'revoked' || !guard;
      const clockMs = time.nowMs - clockSetAtMs() - FARTHEST_STEP_MS;
      const wellMs = Math.min(clockMs, books ? Math.min(targetMs, backendMs) : targetMs);
      if (waits !== undefined && Math.min(waits.ms, wellMs) > waits.patienceMs) {
        this.#broken('stuck', `${lease.state} for ${waits.ms} ms: ${lease.lateReason}`, lease.id);
      }
    }
  }

  #broken(invariant: string, what: string, subject: string): void {
    this.#looked.report({ invariant, what, subject });
  }
}

/** For how long something should have been done about this lease, and how long that may take. */
function stuckFor(
  lease: Lease,
  now: number,
  guard: boolean,
): { ms: number; patienceMs: number } | undefined {
  // The backend does one thing at a time, and a slow mint may come before.
  const patienceMs = guard ? CLAIMED_MS : PATIENCE_MS;
  const since = (at: Date | null) => now - (at?.getTime() ?? now);
  switch (lease.state) {
    case 'minting':
      return {
        ms: Math.max(since(lease.mintDeadline), since(lease.deadline)),
        patienceMs: CLAIMED_MS,
      };
    case 'active':
      return { ms: since(lease.deadline), patienceMs };
    case 'revoking':
    case 'revoked': {
      const from = lease.state === 'revoking' ? lease.fencedAt : lease.revokedAt;
      const unknown = lease.backendLeaseId === null && lease.mintOutcome !== 'unsent';
      // Without the lease's id only the end of the token that made it tells.
      const byToken = unknown ? Math.min(since(from), since(lease.backendEndsBy)) : since(from);
      return { ms: byToken, patienceMs: PATIENCE_MS };
    }
    case 'settled':
    case 'abandoned':
      return undefined;
  }
}
