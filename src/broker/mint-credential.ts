import type { Target } from '../catalogue/target.ts';
import { within } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { Lease } from '../ledger/lease.ts';
import { AGENT_QUARANTINED } from '../ledger/stop.ts';
import type { MintOutcome } from '../mint/backend.ts';
import { backendFailed } from './backend-failed.ts';
import type { DatabaseCredential, ExchangeGrant } from './broker.ts';
import { databaseCredential } from './database-credential.ts';
import { endUnrecorded } from './end-unrecorded.ts';
import { endOnce } from './end-until-dead.ts';
import { MINT_DEADLINE_SECONDS, MINT_WAIT_MS } from './margins.ts';
import type { Opened } from './open-lease.ts';
import type { BrokerParts } from './parts.ts';
import { nowOrLater } from './tell-later.ts';

type Minted = Pick<ExchangeGrant, 'credential' | 'lease' | 'expiresInSeconds' | 'decisionId'>;

/**
 * Keeps the promise of an open lease: mints, commits `active`, answers. The request to OpenBao is
 * never cut, whatever becomes of the caller: a cut one may leave a user without a lease. What
 * comes too late, or for a lease that was fenced meanwhile, is ended at once.
 */
export async function mintCredential(
  parts: BrokerParts,
  target: Target,
  opened: Opened,
): Promise<Result<Minted, Failure>> {
  const spentMs = parts.clock.monotonicMs() - opened.openedAtMs;
  const work = mintAndRecord(parts, target, opened);
  parts.background.run('mint', () => work);
  const outcome = await within(parts.clock, MINT_WAIT_MS - spentMs, work);
  if (outcome !== undefined) return outcome;
  // Nobody waits for it any more: fence it now, and what the mint still makes is ended.
  parts.background.run('end a late mint', () => endLateMint(parts, opened.lease, work));
  const inDoubt = 'the backend did not answer in time; what it made is being ended';
  return fail(backendFailed(failure('mint_unknown', inDoubt), opened.lease));
}

async function mintAndRecord(
  parts: BrokerParts,
  target: Target,
  opened: Opened,
): Promise<Result<Minted, Failure>> {
  const started = parts.clock.monotonicMs();
  const outcome = await mintInTime(parts, opened);
  parts.metrics.minted(outcome.kind, target.name, (parts.clock.monotonicMs() - started) / 1000);
  if (outcome.kind !== 'minted') return notMinted(parts, opened, outcome);
  const credential = databaseCredential(target, outcome.username, outcome.password);
  const lease = await recordMinted(parts, opened, outcome, credential);
  if (lease.state !== 'active') return endFenced(parts, lease);
  const expiresInSeconds = lifeLeft(parts, opened, lease, outcome.leaseSeconds);
  if (expiresInSeconds < 1) return endTooLate(parts, lease);
  return succeed({ credential, lease, expiresInSeconds, decisionId: lease.decisionId });
}

/**
 * Never more than the ledger's clock leaves, or than OpenBao grants. Counted by the steady clock from
 * before the commit, since the wall clock of this process may be off the ledger's.
 */
function lifeLeft(parts: BrokerParts, opened: Opened, lease: Lease, leaseSeconds: number): number {
  const spentMs = parts.clock.monotonicMs() - opened.openedAtMs;
  const lifeMs = lease.deadline.getTime() - lease.createdAt.getTime();
  return Math.min(Math.floor((lifeMs - spentMs) / 1000), leaseSeconds);
}

/** Minted, but its life is over before anybody could use it. */
async function endTooLate(parts: BrokerParts, lease: Lease): Promise<Result<never, Failure>> {
  const ended = await parts.ledger.endLease({
    leaseId: lease.id,
    cause: 'deadline',
    reason: 'its deadline came before the answer',
    by: 'mayfly',
  });
  if (ended) await endOnce(parts, [ended.lease]);
  return fail(backendFailed(failure('mint_unknown', 'the mint took all of its life'), lease));
}

/** A replica that was stopped between commit and mint has lost its turn: others fenced the lease. */
async function mintInTime(parts: BrokerParts, opened: Opened): Promise<MintOutcome> {
  if (parts.clock.monotonicMs() - opened.openedAtMs > MINT_DEADLINE_SECONDS * 1000) {
    const late = 'the mint deadline passed before the mint was sent';
    return { kind: 'unsent', failure: failure('mint_unknown', late) };
  }
  return parts.minter.credential(opened.place, opened.token);
}

async function recordMinted(
  parts: BrokerParts,
  opened: Opened,
  outcome: Extract<MintOutcome, { kind: 'minted' }>,
  credential: DatabaseCredential,
): Promise<Lease> {
  const named = outcome.username === opened.lease.credentialName;
  if (!named) {
    parts.log.error(
      { lease: opened.lease.id, place: opened.place },
      'OpenBao made a user of another name: the username_template is not ours; run mayfly doctor',
    );
  }
  try {
    return await parts.ledger.recordMint({
      leaseId: opened.lease.id,
      outcome: named ? 'minted' : 'unknown',
      backendLeaseId: outcome.backendLeaseId,
      credentialSha256: named ? credential.uri.sha256() : null,
    });
  } catch (error) {
    // Not known to be committed, so not answered (invariant I1).
    parts.background.run('end what could not be recorded', () =>
      endUnrecorded(parts, opened.lease, outcome.backendLeaseId),
    );
    throw error;
  }
}

async function notMinted(
  parts: BrokerParts,
  opened: Opened,
  outcome: Exclude<MintOutcome, { kind: 'minted' }>,
): Promise<Result<never, Failure>> {
  const lease = await parts.ledger.recordMint({
    leaseId: opened.lease.id,
    outcome: outcome.kind,
    backendLeaseId: null,
    credentialSha256: null,
  });
  if (lease.state === 'revoking') {
    parts.background.run('end an unknown mint', () => endOnce(parts, [lease]));
  }
  if (lease.endCause !== null && lease.endCause !== 'mint_unknown') return leaseEnded(lease);
  return fail(backendFailed(outcome.failure, lease));
}

/**
 * Fenced while it was being minted: completed, revoked, given up by the sweep, or because what
 * OpenBao made is not what it was asked for.
 */
async function endFenced(parts: BrokerParts, lease: Lease): Promise<Result<never, Failure>> {
  await endOnce(parts, [lease]);
  if (lease.endCause !== 'mint_unknown') return leaseEnded(lease);
  return fail(backendFailed(failure('mint_unknown', 'what was made was ended at once'), lease));
}

function leaseEnded(lease: Lease): Result<never, Failure> {
  if (lease.endCause === 'quarantine') {
    return fail({ ...AGENT_QUARANTINED, decisionId: lease.decisionId });
  }
  return fail(
    failure('lease_ended', 'the lease was ended while its credential was being made', {
      decisionId: lease.decisionId,
    }),
  );
}

/**
 * Fenced now, and once more where the mint could still commit `active` because the ledger could
 * not be told the first time: nobody holds what it made.
 */
async function endLateMint(
  parts: BrokerParts,
  lease: Lease,
  work: Promise<Result<Minted, Failure>>,
): Promise<void> {
  const fence = () =>
    nowOrLater(parts, 'end a late mint', async () => {
      const ended = await parts.ledger.endLease({
        leaseId: lease.id,
        cause: 'mint_unknown',
        reason: 'the backend did not answer in time',
        by: 'mayfly',
      });
      if (ended) await endOnce(parts, [ended.lease]);
    });
  const activated = work.then((outcome) => (outcome.ok ? fence() : undefined));
  // Both have their own further attempts.
  await Promise.allSettled([fence(), activated]);
}
