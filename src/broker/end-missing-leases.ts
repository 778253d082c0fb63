import type { OpenLease } from '../ledger/ledger.ts';
import { eachBounded } from './each-bounded.ts';
import { endOnce, isDead } from './end-until-dead.ts';
import { MISSING_COUNT_MAX, MISSING_SHARE_MAX, RECONCILE_AT_A_TIME } from './margins.ts';
import { conclude } from './reconcile-pass.ts';
import type { Pass } from './reconcile-pass.ts';
import type { Finding } from './reconciliation.ts';

/** Who the schedule signs as. */
export const SCHEDULE = 'mayfly';

/**
 * Ends active leases that OpenBao does not know any more: somebody revoked them there, or their
 * mount is gone. Each is looked up by its id, on the active node: a list, a standby or an outage
 * proves nothing. Very many at once are left to a person.
 *
 * @param active leases that the ledger holds for active below the mounts that were listed
 */
export async function endMissingLeases(
  pass: Pass,
  suspects: readonly OpenLease[],
  active: number,
): Promise<void> {
  if (suspects.length === 0) return;
  const gone = await confirmGone(pass, suspects);
  const most = Math.max(MISSING_COUNT_MAX, active * MISSING_SHARE_MAX);
  const withheld = pass.by === SCHEDULE && gone.length > most;
  await eachBounded(gone, RECONCILE_AT_A_TIME, async (lease) => {
    if (pass.dryRun) note(pass, lease, 'would_end', 'the backend does not know it any more');
    else if (withheld) note(pass, lease, 'withheld', 'too many at once: reconcile by hand');
    else await end(pass, lease);
  });
}

async function confirmGone(
  pass: Pass,
  suspects: readonly OpenLease[],
): Promise<readonly OpenLease[]> {
  const { parts, tally } = pass;
  const gone: OpenLease[] = [];
  const active = async () => {
    if (await parts.probe.isActive()) return true;
    tally.problem(
      'openbao',
      'no active node answers: leases that it does not list were not judged',
    );
    return false;
  };
  if (!(await active())) return [];
  await eachBounded(suspects, RECONCILE_AT_A_TIME, async (lease) => {
    await pass.keep();
    const looked = await parts.reaper.lookUp(lease.backendLeaseId ?? '');
    if (!looked.ok) tally.problem(placeOf(lease), looked.failure.detail);
    // Its end may have been asked for since it was listed.
    else if (looked.value === null && (await isActive(pass, lease))) gone.push(lease);
  });
  // The node may have stepped down while it was asked.
  return gone.length > 0 && (await active()) ? gone : [];
}

async function isActive({ parts }: Pass, { id }: OpenLease): Promise<boolean> {
  return (await parts.ledger.lease(id))?.state === 'active';
}

async function end(pass: Pass, { id, ...lease }: OpenLease): Promise<void> {
  const { parts, by } = pass;
  await pass.keep();
  const ended = await parts.ledger.endLease({
    leaseId: id,
    cause: 'backend_lost',
    reason: 'the backend does not know it any more',
    by,
  });
  if (!ended) return;
  if (ended.fencedNow) parts.metrics.ended('backend_lost');
  const [died] = await endOnce(parts, [ended.lease]);
  const dead = isDead(died ?? ended.lease);
  const detail = dead ? null : 'fenced; the sweep goes on with its end';
  note(pass, { id, ...lease }, dead ? 'ended' : 'failed', detail);
}

function placeOf({ mount, role }: OpenLease): string {
  return `${mount}/creds/${role}`;
}

function note(
  pass: Pass,
  lease: OpenLease,
  outcome: Finding['outcome'],
  detail: string | null,
): void {
  conclude(pass, {
    kind: 'lease_missing_in_backend',
    place: placeOf(lease),
    name: lease.credentialName,
    leaseId: lease.id,
    outcome,
    detail,
  });
}
