import type { BackendLeaseFacts } from '../mint/backend.ts';
import type { Outstanding } from './compare-leases.ts';
import { eachBounded } from './each-bounded.ts';
import { isDead } from './end-until-dead.ts';
import {
  LOOKUPS_PER_PASS,
  OPENED_AROUND_MS,
  RECONCILE_AT_A_TIME,
  RECONCILE_NAMES,
  REVOCATIONS_FAILED_TO_WITHHOLD,
} from './margins.ts';
import { conclude, orphanEvent } from './reconcile-pass.ts';
import type { Pass } from './reconcile-pass.ts';
import type { Finding } from './reconciliation.ts';

/** By mount and role, how many revocations there have failed in a row. */
type Failures = Map<string, number>;

type Candidate = { readonly id: string; readonly issuedAt: Date; readonly leaseId: string | null };

const KIND = 'backend_lease_unknown';

/**
 * Revokes what OpenBao listed below our mounts and no open lease of the ledger has, once it is older
 * than a mint may take. Answers those that are still there then.
 */
export async function endUnknownLeases(
  pass: Pass,
  ids: readonly string[],
): Promise<readonly Outstanding[]> {
  const outstanding: Outstanding[] = [];
  const failures: Failures = new Map();
  const inTurn = pass.dryRun ? ids : fromAnywhere(ids, pass.parts.ids.fraction());
  const judged = inTurn.slice(0, LOOKUPS_PER_PASS);
  for (const id of inTurn.slice(LOOKUPS_PER_PASS)) {
    outstanding.push({ id, issuedAt: null });
    note(pass, { id, leaseId: null }, 'withheld', 'more than one pass looks at');
  }
  for (let at = 0; at < judged.length; at += RECONCILE_NAMES) {
    const old = await lookUp(pass, judged.slice(at, at + RECONCILE_NAMES), outstanding);
    const orphans = await withoutOpenLease(pass, old);
    await revoke(pass, orphans, failures, outstanding);
  }
  return outstanding;
}

/** Begun elsewhere each time, so that the few that fail do not stand before the same others. */
function fromAnywhere(ids: readonly string[], fraction: number): readonly string[] {
  const start = Math.floor(ids.length * fraction);
  return [...ids.slice(start), ...ids.slice(0, start)];
}

/** Those that are old enough; the others are noted and stay outstanding. */
async function lookUp(
  pass: Pass,
  ids: readonly string[],
  outstanding: Outstanding[],
): Promise<readonly Candidate[]> {
  const old: Candidate[] = [];
  await eachBounded(ids, RECONCILE_AT_A_TIME, async (id) => {
    await pass.keep();
    const looked = await pass.parts.reaper.lookUp(id);
    if (!looked.ok) {
      outstanding.push({ id, issuedAt: null });
      note(pass, { id, leaseId: null }, 'failed', looked.failure.detail);
      return;
    }
    // It ended since it was listed.
    if (looked.value === null) return;
    const { issuedAt } = looked.value;
    if (isOld(looked.value, pass.graceMs)) old.push({ id, issuedAt, leaseId: null });
    else {
      outstanding.push({ id, issuedAt });
      note(pass, { id, leaseId: null }, 'within_grace', null);
    }
  });
  return old;
}

/** What has come to its end was not made by a mint that is still under way. */
function isOld({ ageSeconds, expired }: BackendLeaseFacts, graceMs: number): boolean {
  return expired || ageSeconds * 1000 > graceMs;
}

/** The ledger is asked once more, for each id itself: a page may have missed it. */
async function withoutOpenLease(
  { parts }: Pass,
  candidates: readonly Candidate[],
): Promise<readonly Candidate[]> {
  if (candidates.length === 0) return [];
  const times = candidates.map(({ issuedAt }) => issuedAt.getTime());
  const leases = await parts.ledger.leasesByBackendId(
    candidates.map(({ id }) => id),
    {
      from: new Date(Math.min(...times) - OPENED_AROUND_MS),
      until: new Date(Math.max(...times) + OPENED_AROUND_MS),
    },
  );
  const byId = new Map(leases.map((lease) => [lease.backendLeaseId, lease]));
  return candidates.flatMap((candidate) => {
    const lease = byId.get(candidate.id);
    // `revoked` waits for its own settling.
    if (lease && (!isDead(lease) || lease.state === 'revoked')) return [];
    return [{ ...candidate, leaseId: lease?.id ?? null }];
  });
}

async function revoke(
  pass: Pass,
  orphans: readonly Candidate[],
  failures: Failures,
  outstanding: Outstanding[],
): Promise<void> {
  if (pass.dryRun) {
    outstanding.push(...orphans);
    for (const orphan of orphans) note(pass, orphan, 'would_end', words(orphan));
    return;
  }
  await eachBounded(orphans, RECONCILE_AT_A_TIME, async (orphan) => {
    const withheld = (failures.get(placeOf(orphan)) ?? 0) >= REVOCATIONS_FAILED_TO_WITHHOLD;
    if (withheld) note(pass, orphan, 'withheld', 'others of its role could not be revoked');
    if (withheld || !(await revokeOne(pass, orphan, failures))) outstanding.push(orphan);
  });
}

async function revokeOne(pass: Pass, orphan: Candidate, failures: Failures): Promise<boolean> {
  const { ledger, reaper } = pass.parts;
  await pass.keep();
  const { id, leaseId, issuedAt } = orphan;
  const more = { issued_at: issuedAt.toISOString() };
  await ledger.recordEvents([orphanEvent(pass, { kind: KIND, name: id, leaseId }, more)]);
  const revoked = await reaper.revoke(id);
  if (revoked.ok) note(pass, orphan, 'ended', words(orphan));
  else note(pass, orphan, 'failed', revoked.failure.detail);
  count(pass, placeOf(orphan), revoked.ok, failures);
  return revoked.ok;
}

function count({ tally }: Pass, place: string, revoked: boolean, failures: Failures): void {
  const failed = revoked ? 0 : (failures.get(place) ?? 0) + 1;
  failures.set(place, failed);
  if (failed !== REVOCATIONS_FAILED_TO_WITHHOLD) return;
  tally.problem(`mount ${place}`, `${failed} revocations failed in a row: the others wait`);
}

function words({ leaseId }: Candidate): string {
  return leaseId === null ? 'the ledger does not know it' : 'the ledger holds its lease for closed';
}

function note(
  pass: Pass,
  { id, leaseId }: Pick<Candidate, 'id' | 'leaseId'>,
  outcome: Finding['outcome'],
  detail: string | null,
): void {
  conclude(pass, { kind: KIND, place: placeOf({ id }), name: id, leaseId, outcome, detail });
}

function placeOf({ id }: Pick<Candidate, 'id'>): string {
  return id.slice(0, id.lastIndexOf('/'));
}
