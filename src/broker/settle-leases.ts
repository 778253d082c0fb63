import type { FailureReason } from '../foundation/failure.ts';
import type { Lease } from '../ledger/lease.ts';
import { retryInMs } from './backoff.ts';
import { SETTLINGS_AT_A_TIME } from './margins.ts';
import { eachBounded } from './each-bounded.ts';
import { grouped } from './grouped.ts';
import type { BrokerParts } from './parts.ts';

type Done = { readonly lease: Lease; readonly note: string };
type NotYet = { readonly lease: Lease; readonly reason: string; readonly retryMs: number };
export type BackendOutcome = { readonly done: readonly Done[]; readonly notYet: readonly NotYet[] };

/**
 * Book-keeping with OpenBao for leases that are dead at the target: its lease is revoked (`sync`),
 * or is known to have never been or to have ended. What fails waits for the next attempt.
 */
export async function settleLeases(parts: BrokerParts, leases: readonly Lease[]): Promise<number> {
  const dead = leases.filter((lease) => lease.state === 'revoked');
  if (dead.length === 0) return 0;
  const outcome = await endAtBackend(parts, dead);
  const late = outcome.notYet.map(({ lease, reason, retryMs }) => ({
    leaseId: lease.id,
    state: 'revoked' as const,
    reason,
    retryInMs: retryMs,
    targetOid: lease.targetOid,
  }));
  const byNote = grouped(outcome.done, ({ note }) => note);
  const [settled] = await Promise.all([
    Promise.all(
      [...byNote].map(([note, group]) =>
        parts.ledger.recordSettled(
          group.map(({ lease }) => lease.id),
          note,
        ),
      ),
    ),
    late.length > 0 ? parts.ledger.recordLate(late) : undefined,
  ]);
  const count = settled.flat().length;
  parts.metrics.settled(count);
  return count;
}

/**
 * Asks OpenBao to end each lease, a few at a time; at a target that is paused only the probe, and
 * one lease alone, which is a probe, or what an operator asked for. With `lookFirst` a lease that it
 * does not know is told apart from one that it ended now: to a revocation it says yes either way.
 */
export async function endAtBackend(
  parts: BrokerParts,
  leases: readonly Lease[],
  {
    probe = leases.length === 1 ? leases[0] : undefined,
    lookFirst = false,
  }: { readonly probe?: Lease | undefined; readonly lookFirst?: boolean } = {},
): Promise<BackendOutcome> {
  const done: Done[] = [];
  const notYet: NotYet[] = [];
  const unknown = leases.filter(needsOwnEnd);
  const now = unknown.length > 0 ? await parts.ledger.now() : undefined;
  let outage: string | undefined;
  // Of a target that fails as a whole the rest need not each wait for it either.
  const whyNot = (lease: Lease) =>
    outage ?? (lease === probe ? undefined : pausedReason(parts, lease));
  await eachBounded(leases, SETTLINGS_AT_A_TIME, async (lease) => {
    // Of a lease that nobody saw end it must not be said here that it was revoked.
    const looksFirst = lookFirst || lease.revocability === 'expiry';
    const answer = await endOne(parts, lease, now, whyNot(lease), looksFirst);
    if ('note' in answer) {
      done.push({ lease, note: answer.note });
      return;
    }
    if (answer.outage) outage = answer.reason;
    notYet.push({ lease, reason: answer.reason, retryMs: answer.retryMs });
  });
  return { done, notYet };
}

function pausedReason(parts: BrokerParts, lease: Lease): string | undefined {
  const { target } = lease.snapshot;
  return parts.circuits.settling.paused().find((paused) => paused.target === target)?.reason;
}

/** Something may have been made, and its lease id never reached us. */
function needsOwnEnd(lease: Lease): boolean {
  return (
    lease.backendLeaseId === null &&
    lease.mintOutcome !== 'refused' &&
    lease.mintOutcome !== 'unsent'
  );
}

/** What an outage of OpenBao as a whole looks like: the next lease need not wait for it again. */
const OUTAGES: ReadonlySet<FailureReason> = new Set(['backend_sealed', 'backend_unreachable']);

/** The backend does not know the lease: it ended it before, or lost it. */
export const UNKNOWN_TO_BACKEND = 'the backend does not know its lease (any more)';

/** Reckoned, since the backend cannot be asked for a lease whose id never reached us. */
export const ENDED_WITH_TOKEN = "ended with its token's life";

type Answer =
  | { readonly note: string }
  | { readonly reason: string; readonly retryMs: number; readonly outage: boolean };

async function endOne(
  parts: BrokerParts,
  lease: Lease,
  now: Date | undefined,
  whyNot: string | undefined,
  lookFirst: boolean,
): Promise<Answer> {
  const { backendLeaseId } = lease;
  if (backendLeaseId !== null) {
    if (whyNot !== undefined)
      return { reason: whyNot, retryMs: retryMsOf(parts, lease), outage: false };
    return revokeOne(parts, { ...lease, backendLeaseId }, lookFirst);
  }
  if (!needsOwnEnd(lease)) return { note: 'nothing was minted' };
  const left = lease.backendEndsBy.getTime() - (now?.getTime() ?? 0);
  if (left <= 0) return { note: ENDED_WITH_TOKEN };
  return {
    outage: false,
    reason: 'its backend lease id is not known; waiting for the end of the token that made it',
    // A mint that is still running may yet tell the id.
    retryMs: Math.min(left, retryInMs(lease.attempts + 1, parts.ids.fraction())),
  };
}

async function revokeOne(
  parts: BrokerParts,
  lease: Lease & { readonly backendLeaseId: string },
  lookFirst: boolean,
): Promise<Answer> {
  const { settling } = parts.circuits;
  const { target } = lease.snapshot;
  const seen = lookFirst ? await parts.reaper.lookUp(lease.backendLeaseId) : undefined;
  if (seen?.ok && seen.value === null) {
    // It answers again, and may have lost all of them: the others are not left to probes.
    settling.succeeded(target);
    return { note: UNKNOWN_TO_BACKEND };
  }
  const revoked = seen?.ok === false ? seen : await parts.reaper.revoke(lease.backendLeaseId);
  if (revoked.ok) {
    settling.succeeded(target);
    return { note: 'revoked at the backend' };
  }
  const { reason, detail } = revoked.failure;
  settling.failed(target, detail);
  parts.metrics.late(target, 'settle', reason);
  return { reason: detail, retryMs: retryMsOf(parts, lease), outage: OUTAGES.has(reason) };
}

function retryMsOf(parts: BrokerParts, lease: Lease): number {
  return retryInMs(lease.attempts, parts.ids.fraction());
}
