import type { Death, Lateness } from '../ledger/ledger.ts';
import type { Lease } from '../ledger/lease.ts';
import { judge } from '../target/verdict.ts';
import type { Verdict } from '../target/verdict.ts';
import type { Ending, Look, TargetAccess } from '../target/target-access.ts';
import { retryInMs } from './backoff.ts';
import { NAMES_PER_CALL } from './margins.ts';
import { grouped } from './grouped.ts';
import type { BrokerParts } from './parts.ts';
import { endAtBackend } from './settle-leases.ts';

/**
 * One attempt at the death of these fenced leases, whatever ended them: the guard ends each name
 * at its target, the prover looks, and what was seen is committed as evidence. What did not die
 * keeps its reason and its next attempt. Repeating it changes nothing (invariant I5).
 *
 * Answers the leases that moved to `revoked` now; with `settledBy: 'anyone'` this replica does not
 * keep them for itself to settle. Rejects with LedgerUnreachable where their
 * evidence could not be committed; the names are ended all the same.
 */
export async function endLeases(
  parts: BrokerParts,
  leases: readonly Lease[],
  settledBy: 'us' | 'anyone' = 'us',
): Promise<readonly Lease[]> {
  const fenced = leases.filter((lease) => lease.state === 'revoking');
  const byTarget = grouped(fenced, (lease) => lease.snapshot.target);
  const died = await Promise.all(
    [...byTarget].map(([target, group]) => endAtTarget(parts, target, group, settledBy)),
  );
  return died.flat();
}

async function endAtTarget(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
  settledBy: 'us' | 'anyone',
): Promise<readonly Lease[]> {
  const access = parts.targets.access(target);
  const proven = access ? leases.filter((lease) => lease.snapshot.proof === 'target') : [];
  const onBackendsWord = leases.filter((lease) => !proven.includes(lease));
  const [byGuard, byBackend] = await Promise.all([
    access
      ? Promise.all(
          chunks(proven).map((chunk) => endByGuard(parts, { target, access, settledBy }, chunk)),
        )
      : [],
    endByBackend(parts, target, onBackendsWord),
  ]);
  return [...byGuard.flat(), ...byBackend];
}

function chunks(leases: readonly Lease[]): readonly (readonly Lease[])[] {
  const count = Math.ceil(leases.length / NAMES_PER_CALL);
  return Array.from({ length: count }, (_, index) =>
    leases.slice(index * NAMES_PER_CALL, (index + 1) * NAMES_PER_CALL),
  );
}

type Place = {
  readonly target: string;
  readonly access: TargetAccess;
  readonly settledBy: 'us' | 'anyone';
};

async function endByGuard(
  parts: BrokerParts,
  place: Place,
  leases: readonly Lease[],
): Promise<readonly Lease[]> {
  const seen = await endAndLook(parts, place, leases);
  const deaths: Death[] = [];
  const late: Lateness[] = [];
  for (const lease of leases) {
    const verdict = await verdictOn(parts, lease, seen);
    if (verdict.dead) {
      deaths.push({
        leaseId: lease.id,
        evidence: verdict.evidence,
        revocability: verdict.revocability,
        revocabilityReason: verdict.lowered,
        residue: verdict.residue,
        targetOid: verdict.oid,
      });
    } else {
      const asked = seen.endings.has(lease.credentialName);
      parts.metrics.late(place.target, 'end', asked ? 'still_alive' : 'target_unreachable');
      late.push(lateness(parts, lease, verdict.reason, verdict.oid));
    }
  }
  return commit(parts, place.settledBy, deaths, late);
}

async function verdictOn(parts: BrokerParts, lease: Lease, seen: Seen): Promise<Verdict> {
  const ending = seen.endings.get(lease.credentialName);
  if (!ending) {
    return { dead: false, reason: seen.problem ?? 'the guard said nothing of it', oid: null };
  }
  const findings = {
    ending,
    look: seen.looks.get(lease.credentialName),
    declared: lease.revocability,
    seenOid: lease.targetOid,
    minted: lease.mintOutcome === 'minted' || lease.backendLeaseId !== null,
    backendRevoked: false,
  };
  const verdict = judge(findings);
  const elsewhere = !verdict.dead && ending.ended && findings.minted && verdict.oid === null;
  if (!elsewhere || lease.backendLeaseId === null) return verdict;
  // OpenBao made it, but not where the guard looks: only OpenBao knows where, so it ends it there.
  const revoked = await parts.reaper.revoke(lease.backendLeaseId);
  return revoked.ok ? judge({ ...findings, backendRevoked: true }) : verdict;
}

type Seen = {
  readonly endings: ReadonlyMap<string, Ending>;
  readonly looks: ReadonlyMap<string, Look>;
  /** Why the guard or the prover could not be asked; null where both answered. */
  readonly problem: string | null;
};

async function endAndLook(
  parts: BrokerParts,
  { target, access }: Place,
  leases: readonly Lease[],
): Promise<Seen> {
  const endings = new Map<string, Ending>();
  const looks = new Map<string, Look>();
  try {
    for (const ending of await access.guard.end(leases.map((lease) => lease.credentialName))) {
      endings.set(ending.name, ending);
    }
    parts.circuits.ending.succeeded(target);
    const suspects = leases
      .filter((lease) => endings.get(lease.credentialName)?.ended)
      .map((lease) => ({
        name: lease.credentialName,
        oid: endings.get(lease.credentialName)?.oid ?? lease.targetOid,
      }));
    if (suspects.length > 0) {
      for (const look of await access.prover.look(suspects)) looks.set(look.name, look);
    }
    return { endings, looks, problem: null };
  } catch (error) {
    const problem = problemOf(error);
    if (endings.size === 0) parts.circuits.ending.failed(target, problem);
    return { endings, looks, problem };
  }
}

/** The adapters' errors carry no secret in their message; others are named by kind only. */
export function problemOf(error: unknown): string {
  return error instanceof Error && error.name === 'TargetUnreachable'
    ? error.message
    : `the target could not be asked (${error instanceof Error ? error.name : 'error'})`;
}

/** Without a guard the backend's sync revoke is what kills, and its word is all there is. */
async function endByBackend(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
): Promise<readonly Lease[]> {
  if (leases.length === 0) return [];
  const outcome = await endAtBackend(parts, leases, probeOf(parts, target, leases));
  const deaths = outcome.done.map(({ lease, note }) => ({
    leaseId: lease.id,
    evidence: {
      kind: 'backend',
      asked: lease.backendLeaseId === null ? null : 'sys/leases/revoke',
      answer: note,
    },
    revocability: lease.revocability === 'proven' ? ('revocable' as const) : lease.revocability,
    revocabilityReason:
      lease.revocability === 'proven' ? 'the target has no guard: the backend says so' : null,
    residue: null,
    targetOid: null,
  }));
  const late = outcome.notYet.map(({ lease, reason, retryMs }) => ({
    leaseId: lease.id,
    reason,
    retryInMs: retryMs,
    targetOid: null,
  }));
  const died = await commit(parts, 'us', deaths, late);
  const settled = await parts.ledger.recordSettled(
    died.map((lease) => lease.id),
    'revoked at the backend',
  );
  parts.metrics.settled(settled.length);
  return died;
}

/** These leases settle in one step with their end, so it is here that a paused target is probed. */
function probeOf(parts: BrokerParts, target: string, leases: readonly Lease[]): Lease | undefined {
  const [first] = leases.filter((lease) => lease.backendLeaseId !== null);
  return first && parts.circuits.settling.turn(target) === 'one' ? first : undefined;
}

function lateness(
  parts: BrokerParts,
  lease: Lease,
  reason: string,
  targetOid: number | null,
): Lateness {
  return {
    leaseId: lease.id,
    reason,
    retryInMs: retryInMs(lease.attempts, parts.ids.fraction()),
    targetOid: targetOid ?? lease.targetOid,
  };
}

async function commit(
  parts: BrokerParts,
  settledBy: 'us' | 'anyone',
  deaths: readonly Death[],
  late: readonly Lateness[],
): Promise<readonly Lease[]> {
  const [died] = await Promise.all([
    deaths.length > 0 ? parts.ledger.recordDeaths(deaths, settledBy) : [],
    late.length > 0 ? parts.ledger.recordLate(late) : undefined,
  ]);
  for (const lease of died) countDeath(parts, lease);
  return died;
}

function countDeath(parts: BrokerParts, lease: Lease): void {
  const at = lease.revokedAt?.getTime() ?? 0;
  parts.metrics.died({
    cause: lease.endCause ?? 'unknown',
    revocability: lease.revocability,
    afterFence: (at - (lease.fencedAt?.getTime() ?? at)) / 1000,
    afterDeadline: (at - lease.deadline.getTime()) / 1000,
  });
}
