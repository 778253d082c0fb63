import type { Lease } from '../ledger/lease.ts';
import type { TargetAccess } from '../target/target-access.ts';
import { judgeUser } from './compare-users.ts';
import type { UserVerdict } from './compare-users.ts';
import { FINDINGS_SHOWN, NAMES_PER_CALL, RECONCILE_NAMES } from './margins.ts';
import { conclude, orphanEvent, ReconciliationLost } from './reconcile-pass.ts';
import type { Pass } from './reconcile-pass.ts';

/**
 * Compares the users at every target that has a guard with the ledger, and ends those that no live
 * lease has. A target that cannot be asked is a problem of the pass and stops no other.
 */
export async function reconcileTargets(pass: Pass): Promise<void> {
  const { targets } = pass.parts;
  await Promise.all(
    targets.names().map(async (target) => {
      const access = targets.access(target);
      if (access) await reconcileTarget(pass, target, access);
    }),
  );
}

type Suspect = { readonly name: string; readonly lease: Lease | null; readonly risen: boolean };

async function reconcileTarget(pass: Pass, target: string, access: TargetAccess): Promise<void> {
  const seen = await atTarget(pass, target, async () => {
    const listedAtMs = (await access.guard.now()).getTime();
    const users = await access.guard.list();
    pass.tally.strangers(await access.prover.strangers(FINDINGS_SHOWN));
    return { listedAtMs, users };
  });
  if (!seen) return;
  const { users, listedAtMs } = seen;
  pass.tally.users += users.length;
  for (let at = 0; at < users.length; at += RECONCILE_NAMES) {
    const chunk = users.slice(at, at + RECONCILE_NAMES);
    const leases = await pass.parts.ledger.leasesByName(chunk.map(({ name }) => name));
    const byName = new Map(leases.map((lease) => [lease.credentialName, lease]));
    const suspects: Suspect[] = [];
    for (const user of chunk) {
      const { name } = user;
      const lease = byName.get(name);
      const verdict = judgeUser(user, lease, listedAtMs, pass.graceMs);
      if (verdict === 'young') note(pass, target, { name, lease: null }, 'within_grace', null);
      else if (isSuspect(verdict)) {
        suspects.push({ name, lease: lease ?? null, risen: verdict === 'risen' });
      }
    }
    await endSuspects(pass, target, access, suspects);
  }
}

function isSuspect(verdict: UserVerdict): boolean {
  return verdict === 'no_lease' || verdict === 'risen' || verdict === 'left';
}

async function endSuspects(
  pass: Pass,
  target: string,
  access: TargetAccess,
  suspects: readonly Suspect[],
): Promise<void> {
  if (pass.dryRun) {
    for (const suspect of suspects) note(pass, target, suspect, 'would_end', words(suspect));
    return;
  }
  for (let at = 0; at < suspects.length; at += NAMES_PER_CALL) {
    await pass.keep();
    const chunk = suspects.slice(at, at + NAMES_PER_CALL);
    await record(pass, target, chunk);
    const dead = await atTarget(pass, target, () => endAndLook(access, chunk));
    for (const suspect of chunk) {
      const why = dead?.get(suspect.name);
      const ended = dead !== undefined && why === undefined;
      note(pass, target, suspect, ended ? 'ended' : 'failed', why ?? words(suspect));
    }
  }
}

/** The audit record of what is about to be ended, and the alarm for what rose from the dead. */
async function record(pass: Pass, target: string, suspects: readonly Suspect[]): Promise<void> {
  const { parts } = pass;
  await parts.ledger.recordEvents(
    suspects.map(({ name, lease, risen }) =>
      orphanEvent(
        pass,
        { kind: 'user_without_lease', name, leaseId: lease?.id ?? null },
        { target, can_log_in: risen || lease === null },
      ),
    ),
  );
  for (const { name, lease, risen } of suspects) {
    if (!risen || !lease) continue;
    parts.metrics.resurrected();
    parts.log.error({ lease: lease.id, target }, 'a closed lease had a live user');
    await parts.ledger.recordResurrected(lease.id, { name, target });
  }
}

/** By name, why it is still there; names without an entry are dead, which the prover has seen. */
async function endAndLook(
  { guard, prover }: TargetAccess,
  suspects: readonly Suspect[],
): Promise<ReadonlyMap<string, string>> {
  const standing = new Map<string, string>();
  const endings = await guard.end(suspects.map(({ name }) => name));
  for (const { name } of suspects) standing.set(name, 'the guard said nothing of it');
  for (const { name, ended, residue, reason } of endings) {
    if (ended && residue === null) standing.delete(name);
    else if (residue !== null) standing.set(name, `disabled, but not removed: ${residue}`);
    else standing.set(name, reason ?? 'the guard could not end it');
  }
  const gone = endings.filter(({ ended }) => ended);
  for (const look of await prover.look(gone.map(({ name, oid }) => ({ name, oid })))) {
    if (look.canLogin || look.sessions > 0) standing.set(look.name, 'the prover saw it alive');
  }
  return standing;
}

async function atTarget<Value>(
  { tally }: Pass,
  target: string,
  work: () => Promise<Value>,
): Promise<Value | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || error instanceof ReconciliationLost) throw error;
    // Only the adapter's own error is made for people to read.
    const detail =
      error.name === 'TargetUnreachable' ? error.message : `could not be asked (${error.name})`;
    tally.problem(`target ${target}`, detail);
    return undefined;
  }
}

function words({ lease, risen }: Suspect): string {
  if (!lease) return 'no lease has its name';
  return risen ? 'its lease is closed' : 'its lease is closed, and it was left disabled';
}

function note(
  pass: Pass,
  target: string,
  { name, lease }: Pick<Suspect, 'name' | 'lease'>,
  outcome: 'ended' | 'failed' | 'would_end' | 'within_grace',
  detail: string | null,
): void {
  const kind = 'user_without_lease';
  conclude(pass, {
    kind,
    place: `target ${target}`,
    name,
    leaseId: lease?.id ?? null,
    outcome,
    detail,
  });
}
