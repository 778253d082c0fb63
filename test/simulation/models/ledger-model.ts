import { isUuid } from '../../../src/foundation/ids.ts';
import type { EndCause, Lease } from '../../../src/ledger/lease.ts';
import type {
  Death,
  DueTarget,
  DueWork,
  EndedBy,
  EndedLease,
  EndedTask,
  EndLease,
  EndTask,
  Lateness,
  MintRecord,
} from '../../../src/ledger/ledger.ts';
import { dueTargets, inTurn } from './ledger-due.ts';
import { byId, claimOf, fence, later, timeOut } from './ledger-fencing.ts';
import type { ReplicaOfLedger } from './ledger-fencing.ts';
import { stoppedFor } from './ledger-stops.ts';
import { LedgerTables } from './ledger-tables.ts';

/** Of the end of a task. */
const DEAD_ANSWERED = 200;
const LEASES_COUNTED = 10_000;

const RESIDUE_FIRST_RETRY_MS = 60_000;

/** Where a lease that is still `minting` goes by the outcome of its mint. */
const STEPS = {
  minted: { state: 'active', event: 'lease.activated' },
  refused: { state: 'abandoned', event: 'lease.abandoned' },
  unsent: { state: 'abandoned', event: 'lease.abandoned' },
  unknown: { state: 'revoking', event: 'lease.fenced' },
} as const;

/**
 * The ledger's statements over tables in memory. Each method is one transaction of the real one, and
 * happens at once; an exchange's two halves are two methods, between which locks are held.
 */
export class ModelLedger {
  readonly tables = new LedgerTables();
  readonly #now: () => Date;
  readonly installationId: string;

  constructor(now: () => Date, installationId = 'm0de') {
    this.#now = now;
    this.installationId = installationId;
  }

  now(): Date {
    return this.#now();
  }

  recordMint(record: MintRecord): Lease {
    if (record.outcome === 'minted' && !(record.backendLeaseId && record.credentialSha256)) {
      throw new TypeError('a minted credential has a backend lease id and a hash (I1)');
    }
    const before = this.tables.leases.get(record.leaseId);
    if (!before) throw new Error('a mint was recorded for a lease that does not exist');
    const open = before.mintOutcome === null || before.mintOutcome === 'unknown';
    const minting = before.state === 'minting';
    if (!minting && !open) return before;
    const now = this.#now();
    if (record.credentialSha256 && this.tables.hashOf(before.id) === undefined) {
      this.tables.keepHash(before.id, record.credentialSha256);
    }
    const stopped =
      minting && record.outcome === 'minted' ? stoppedFor(this.tables, before) : undefined;
    const step = stopped === undefined ? STEPS[record.outcome] : STEPS.unknown;
    const fenced = minting && step.state === 'revoking';
    const endCause = stopped === undefined ? 'mint_unknown' : 'revocation';
    const after = this.tables.updateLease(before, {
      mintEndedAt: before.mintEndedAt ?? now,
      mintOutcome: open ? record.outcome : before.mintOutcome,
      backendLeaseId: before.backendLeaseId ?? record.backendLeaseId,
      ...(minting ? { state: step.state, claimOwner: null, claimUntil: null } : {}),
      ...(minting && step.state === 'active' ? { activatedAt: now } : {}),
      ...(fenced
        ? { fencedAt: now, endCause, endReason: stopped ?? null, nextAttemptAt: now }
        : {}),
    });
    this.tables.noteOfLease(now, minting ? step.event : 'lease.mint_ended', after, {
      outcome: record.outcome,
    });
    return after;
  }

  endTask(replica: ReplicaOfLedger, end: EndTask): EndedTask | null {
    let task = this.tables.tasks.get(end.taskId);
    if (!task || (end.agentId !== undefined && task.agentId !== end.agentId)) return null;
    const now = this.#now();
    let endedNow = false;
    if (task.endedAt === null) {
      const timedOut = task.deadline <= now;
      endedNow = !timedOut;
      task = this.tables.updateTask(
        task,
        timedOut
          ? { endedAt: task.deadline, endCause: 'timeout' }
          : { endedAt: now, endCause: end.cause, outcome: end.outcome, note: end.note },
      );
      const { by, cause } = end;
      const body = timedOut ? { by, cause: 'timeout' } : { by, cause };
      this.tables.note(now, 'task.ended', task.agentId, { taskId: task.id }, body);
    }
    const ids = this.tables.leasesOfTask.get(task.id) ?? [];
    const cause = causeOfLeases(end);
    const leases = ids.flatMap((id) => {
      const lease = this.tables.leases.get(id);
      return lease
        ? [fence(this.tables, lease, { cause, reason: end.note, by: end.by }, now, replica)]
        : [];
    });
    return { task, endedNow, ...answered(leases) };
  }

  endLease(replica: ReplicaOfLedger, end: EndLease): EndedLease | null {
    const lease = isUuid(end.leaseId) ? this.tables.leases.get(end.leaseId) : undefined;
    if (!lease) return null;
    const after = fence(this.tables, lease, end, this.#now(), replica);
    return { lease: after, fencedNow: after !== lease };
  }

  /** `skipped`: tasks that an exchange holds at the moment; they wait for the next pass. */
  endTimedOutTasks(limit: number, skipped: (taskId: string) => boolean = () => false): number {
    const now = this.#now();
    const due = [...this.tables.openTasks]
      .flatMap((id) => this.tables.tasks.get(id) ?? [])
      .filter((task) => task.deadline <= now && !skipped(task.id))
      .sort((one, other) => one.deadline.getTime() - other.deadline.getTime())
      .slice(0, limit);
    for (const task of due) timeOut(this.tables, task, now);
    return due.length;
  }

  dueTargets(countUpTo: number): readonly DueTarget[] {
    return dueTargets(this.tables, this.#now(), countUpTo);
  }

  claimDue(
    replica: ReplicaOfLedger,
    work: DueWork,
    target: string,
    limit: number,
    endedBy?: EndedBy,
  ): readonly Lease[] {
    const now = this.#now();
    const claimed = inTurn(this.tables, now, work, target, endedBy)
      .slice(0, limit)
      .map((lease) => {
        const lost = lease.state === 'minting' && lease.mintDeadline <= now;
        const cause = lost ? 'mint_lost' : 'deadline';
        const fenced = fence(this.tables, lease, { cause, reason: null, by: 'mayfly' }, now);
        return this.tables.updateLease(fenced, claimOf(replica, now));
      });
    return claimed.sort(
      (one, other) => one.deadline.getTime() - other.deadline.getTime() || byId(one, other),
    );
  }

  claimResidue(replica: ReplicaOfLedger, limit: number): readonly Lease[] {
    const now = this.#now();
    return [...this.tables.withResidue]
      .flatMap((id) => this.tables.leases.get(id) ?? [])
      .filter(({ nextAttemptAt }) => nextAttemptAt !== null && nextAttemptAt <= now)
      .filter(({ claimUntil }) => claimUntil === null || claimUntil <= now)
      .sort((one, other) => Number(one.nextAttemptAt) - Number(other.nextAttemptAt))
      .slice(0, limit)
      .map((lease) => this.tables.updateLease(lease, claimOf(replica, now)));
  }

  recordDeaths(
    replica: ReplicaOfLedger,
    deaths: readonly Death[],
    settledBy: 'us' | 'anyone' = 'us',
  ): readonly Lease[] {
    const now = this.#now();
    return deaths
      .flatMap((death) => {
        const lease = this.tables.leases.get(death.leaseId);
        if (lease?.state !== 'revoking') return [];
        const { evidence, revocability, revocabilityReason, residue } = death;
        const after = this.tables.updateLease(lease, {
          ...{ evidence, revocability, revocabilityReason, residue },
          state: 'revoked',
          revokedAt: now,
          residueSince: residue === null ? null : now,
          targetOid: death.targetOid ?? lease.targetOid,
          attempts: 0,
          nextAttemptAt: now,
          lateReason: null,
          ...claimOf(settledBy === 'us' ? replica : undefined, now),
        });
        this.tables.noteOfLease(now, 'lease.revoked', after, { evidence });
        return [after];
      })
      .sort(byId);
  }

  recordSettled(leaseIds: readonly string[], note: string): readonly Lease[] {
    const now = this.#now();
    return leaseIds
      .flatMap((id) => {
        const lease = this.tables.leases.get(id);
        if (lease?.state !== 'revoked') return [];
        const retry = later(now, RESIDUE_FIRST_RETRY_MS);
        const after = this.tables.updateLease(lease, {
          state: 'settled',
          settledAt: now,
          claimOwner: null,
          claimUntil: null,
          attempts: 0,
          lateReason: null,
          nextAttemptAt: lease.residue === null ? null : retry,
        });
        this.tables.noteOfLease(now, 'lease.settled', after, { note });
        return [after];
      })
      .sort(byId);
  }

  recordResidue(leaseId: string, residue: string | null, retryInMs: number): void {
    const lease = this.tables.leases.get(leaseId);
    if (lease?.state !== 'settled' || lease.residue === null) return;
    const now = this.#now();
    const after = this.tables.updateLease(lease, {
      residue,
      residueSince: residue === null ? null : lease.residueSince,
      attempts: lease.attempts + 1,
      claimOwner: null,
      claimUntil: null,
      nextAttemptAt: residue === null ? null : later(now, retryInMs),
    });
    if (lease.residue !== residue) {
      this.tables.noteOfLease(now, 'lease.residue', after, { residue });
    }
  }

  recordLate(replica: ReplicaOfLedger, late: readonly Lateness[]): void {
    const now = this.#now();
    for (const { leaseId, state, reason, retryInMs, targetOid } of late) {
      const lease = this.tables.leases.get(leaseId);
      if (lease?.state !== state) continue;
      const others = lease.claimOwner !== null && lease.claimOwner !== replica.name;
      const after = this.tables.updateLease(lease, {
        attempts: lease.attempts + 1,
        lateReason: reason,
        nextAttemptAt: later(now, retryInMs),
        targetOid: targetOid ?? lease.targetOid,
        ...(others ? {} : { claimOwner: null, claimUntil: null }),
      });
      if (lease.lateReason !== reason) {
        this.tables.noteOfLease(now, 'lease.late', after, { reason });
      }
    }
  }

  claimAgain(replica: ReplicaOfLedger, leaseId: string, by: string, reason: string): Lease | null {
    const lease = this.tables.leases.get(leaseId);
    if (!lease) return null;
    const now = this.#now();
    const open = lease.state === 'revoking' || lease.state === 'revoked';
    const left = lease.state === 'settled' && lease.residue !== null;
    const others = lease.claimUntil !== null && lease.claimUntil > now;
    if (!(open || left) || (others && lease.claimOwner !== replica.name)) return lease;
    const claim = claimOf(replica, now);
    const after = this.tables.updateLease(lease, { nextAttemptAt: now, ...claim });
    this.tables.noteOfLease(now, 'lease.retried', after, { by, reason });
    return after;
  }

  releaseClaims(replica: ReplicaOfLedger): number {
    const held = [...this.tables.pending, ...this.tables.withResidue]
      .flatMap((id) => this.tables.leases.get(id) ?? [])
      .filter(({ state, claimOwner }) => claimOwner === replica.name && state !== 'minting');
    for (const lease of held) {
      this.tables.updateLease(lease, { claimOwner: null, claimUntil: null });
    }
    return held.length;
  }
}

/** All that may live, the newest of the dead, and a count up to its bound. */
function answered(all: readonly Lease[]): Pick<EndedTask, 'leases' | 'leaseCount'> {
  const dying = all.filter(({ state }) => state === 'revoking');
  const others = all.filter(({ state }) => state !== 'revoking').sort(byId);
  const leases = [...dying, ...others.slice(-DEAD_ANSWERED)].sort(byId);
  return { leases, leaseCount: Math.min(all.length, LEASES_COUNTED) };
}

function causeOfLeases(end: EndTask): EndCause {
  if (end.cause === 'completed') return 'completed';
  return end.by.startsWith('agent:') ? 'revoked_by_holder' : 'operator';
}
