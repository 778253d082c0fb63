import { within } from '../foundation/clock.ts';
import type { Death, Lateness } from '../ledger/ledger.ts';
import type { Lease } from '../ledger/lease.ts';
import { judge } from '../target/verdict.ts';
import type { Findings, Verdict } from '../target/verdict.ts';
import type { Ending, Look, TargetAccess } from '../target/target-access.ts';
import { retryInMs } from './backoff.ts';
import { eachBounded } from './each-bounded.ts';
import { commitEndings } from './commit-endings.ts';
import { endByBackend, tellUnseen } from './end-by-backend.ts';
import { endWithoutGuard } from './end-without-guard.ts';
import { GUARD_AWAY_MS, NAMES_PER_CALL, SETTLINGS_AT_A_TIME, UNSEEN_AT_A_TIME } from './margins.ts';
import { grouped } from './grouped.ts';
import type { BrokerParts } from './parts.ts';

export type Attempt = {
  /** With `anyone` this replica does not keep the dead for itself to settle. `us` if absent. */
  readonly settledBy?: 'us' | 'anyone';
  /**
   * By target, of how many leases OpenBao is asked behind attempts, since their guard never saw them. With
   * it they go on behind this one too, up to a bound; if absent this one waits for what OpenBao says.
   */
  readonly behind?: Map<string, number>;
};

/**
 * One attempt at the death of these fenced leases, whatever ended them: the guard ends each name
 * at its target, the prover looks, and what was seen is committed as evidence. What did not die
 * keeps its reason and its next attempt. Repeating it changes nothing (invariant I5).
 *
 * Answers the leases that moved to `revoked` now. Rejects with LedgerUnreachable where their evidence
 * could not be committed; the names are ended all the same.
 */
export async function endLeases(
  parts: BrokerParts,
  leases: readonly Lease[],
  attempt: Attempt = {},
): Promise<readonly Lease[]> {
  const fenced = leases.filter((lease) => lease.state === 'revoking');
  const byTarget = grouped(fenced, (lease) => lease.snapshot.target);
  const died = await Promise.all(
    [...byTarget].map(([target, group]) => endAtTarget(parts, target, group, attempt)),
  );
  return died.flat();
}

async function endAtTarget(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
  { settledBy = 'us', behind }: Attempt,
): Promise<readonly Lease[]> {
  const access = parts.targets.access(target);
  const proven = access ? leases.filter((lease) => lease.snapshot.proof === 'target') : [];
  const onBackendsWord = leases.filter((lease) => !proven.includes(lease));
  const [byGuard, byBackend] = await Promise.all([
    access
      ? Promise.all(
          chunks(proven).map((chunk) =>
            endByGuard(parts, { target, access, settledBy, behind }, chunk),
          ),
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
  readonly behind: Attempt['behind'];
};

async function endByGuard(
  parts: BrokerParts,
  place: Place,
  leases: readonly Lease[],
): Promise<readonly Lease[]> {
  const seen = await endAndLook(parts, place, leases);
  const judged = leases.map((lease) => verdictOn(lease, seen));
  const elsewhere = judged.filter(isElsewhere);
  const here = judged.filter((one) => !isElsewhere(one));
  const died = await record(parts, place, seen, here);
  if (elsewhere.length === 0) return died;
  // Nobody's recorded death waits for OpenBao.
  if (place.behind === undefined) {
    return [...died, ...(await endAllElsewhere(parts, place, seen, elsewhere))];
  }
  await endBehind(parts, place, place.behind, seen, elsewhere);
  return died;
}

/** As many as there is room for; the others keep their reason and their next attempt. */
async function endBehind(
  parts: BrokerParts,
  place: Place,
  behind: Map<string, number>,
  seen: Seen,
  elsewhere: readonly Judged[],
): Promise<void> {
  const { target } = place;
  const count = () => behind.get(target) ?? 0;
  const asked = elsewhere.slice(0, Math.max(0, UNSEEN_AT_A_TIME - count()));
  if (asked.length > 0) {
    behind.set(target, count() + asked.length);
    // The attempt that would settle them is over by then.
    const left = { ...place, settledBy: 'anyone' as const };
    parts.background.run('end what its guard never saw', () =>
      endAllElsewhere(parts, left, seen, asked).finally(() =>
        behind.set(target, count() - asked.length),
      ),
    );
  }
  await record(parts, place, seen, elsewhere.slice(asked.length));
}

async function endAllElsewhere(
  parts: BrokerParts,
  place: Place,
  seen: Seen,
  elsewhere: readonly Judged[],
): Promise<readonly Lease[]> {
  const judgedAgain: Judged[] = [];
  await eachBounded(elsewhere, SETTLINGS_AT_A_TIME, async (one) => {
    judgedAgain.push(await endElsewhere(parts, one));
  });
  return record(parts, place, seen, judgedAgain);
}

type Judged = {
  readonly lease: Lease;
  readonly verdict: Verdict;
  /** What it was judged by; absent where the guard said nothing of it. */
  readonly findings?: Findings;
};

function verdictOn(lease: Lease, seen: Seen): Judged {
  const ending = seen.endings.get(lease.credentialName);
  if (!ending) {
    const reason = seen.problem ?? 'the guard said nothing of it';
    return { lease, verdict: { dead: false, reason, oid: null } };
  }
  const findings = {
    ending,
    look: seen.looks.get(lease.credentialName),
    declared: lease.revocability,
    seenOid: lease.targetOid,
    minted: lease.mintOutcome === 'minted' || lease.backendLeaseId !== null,
    backendSaid: null,
  };
  return { lease, verdict: judge(findings), findings };
}

/** OpenBao made it, but not where the guard looks. */
function isElsewhere({ lease, verdict, findings }: Judged): boolean {
  if (verdict.dead || findings === undefined || lease.backendLeaseId === null) return false;
  return findings.ending.ended && findings.minted && verdict.oid === null;
}

/**
 * Only OpenBao knows where it is, so it ends it there. It is asked first whether it knows the lease: to
 * a revocation it says yes either way.
 */
async function endElsewhere(parts: BrokerParts, judged: Judged): Promise<Judged> {
  const { lease, findings } = judged;
  if (findings === undefined || lease.backendLeaseId === null) return judged;
  const known = await parts.reaper.lookUp(lease.backendLeaseId);
  if (!known.ok) return judged;
  if (known.value === null) {
    tellUnseen(parts, lease);
    return { ...judged, verdict: judge({ ...findings, backendSaid: 'unknown' }) };
  }
  const revoked = await parts.reaper.revoke(lease.backendLeaseId);
  if (!revoked.ok) return judged;
  return { ...judged, verdict: judge({ ...findings, backendSaid: 'revoked' }) };
}

/** Commits what was judged; answers those that moved to `revoked`. */
function record(
  parts: BrokerParts,
  { target, settledBy }: Place,
  seen: Seen,
  judged: readonly Judged[],
): Promise<readonly Lease[]> {
  const deaths: Death[] = [];
  const late: Lateness[] = [];
  for (const { lease, verdict } of judged) {
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
      parts.metrics.late(target, 'end', asked ? 'still_alive' : 'target_unreachable');
      late.push(lateness(parts, lease, verdict.reason, verdict.oid));
    }
  }
  return commitEndings(parts, settledBy, deaths, late);
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
  const askedAtMs = parts.clock.monotonicMs();
  try {
    const call = access.guard.end(leases.map((lease) => lease.credentialName));
    for (const ending of await answerOf(parts, target, leases, call)) {
      endings.set(ending.name, ending);
    }
    parts.circuits.ending.succeeded(target);
    parts.circuits.looking.succeeded(target);
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
    if (endings.size === 0) {
      parts.circuits.ending.failed(target, problem, askedAtMs);
      if (parts.circuits.ending.awayMs(target) >= GUARD_AWAY_MS) {
        endWithoutGuard(parts, target, leases);
      }
    }
    return { endings, looks, problem };
  }
}

/**
 * What the guard answers. Where it says nothing at all for some seconds, to anybody, OpenBao is asked
 * meanwhile: a call that was swallowed on its way is given up much later.
 */
async function answerOf(
  parts: BrokerParts,
  target: string,
  leases: readonly Lease[],
  call: Promise<readonly Ending[]>,
): Promise<readonly Ending[]> {
  const { looking } = parts.circuits;
  const answer = looking.listen(target, call);
  // Fractions of a millisecond are no wait.
  for (let leftMs = GUARD_AWAY_MS; leftMs >= 1; leftMs = GUARD_AWAY_MS - looking.awayMs(target)) {
    const endings = await within(parts.clock, leftMs, answer);
    if (endings !== undefined) return endings;
  }
  endWithoutGuard(parts, target, leases);
  return answer;
}

/** The adapters' errors carry no secret in their message; others are named by kind only. */
export function problemOf(error: unknown): string {
  return error instanceof Error && error.name === 'TargetUnreachable'
    ? error.message
    : `the target could not be asked (${error instanceof Error ? error.name : 'error'})`;
}

function lateness(
  parts: BrokerParts,
  lease: Lease,
  reason: string,
  targetOid: number | null,
): Lateness {
  return {
    leaseId: lease.id,
    state: 'revoking',
    reason,
    retryInMs: retryInMs(lease.attempts, parts.ids.fraction()),
    targetOid: targetOid ?? lease.targetOid,
  };
}
