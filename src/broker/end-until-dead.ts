import { within } from '../foundation/clock.ts';
import type { Lease } from '../ledger/lease.ts';
import { endLeases } from './end-leases.ts';
import { grouped } from './grouped.ts';
import { endingIsOpen } from './guard-away.ts';
import type { BrokerParts } from './parts.ts';
import { settleLeases } from './settle-leases.ts';
import { awaitedDeath } from './waiting.ts';
import type { AwaitedDeath } from './waiting.ts';

/** Milliseconds between attempts while callers wait; doubled by each, up to the longest. */
const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 400;

/** Milliseconds beyond the wait in which the states are read that a 202 shows. */
const LAST_LOOK_MS = 250;

/**
 * Ends these leases, again and again while the caller's wait lasts, and lets the settling with
 * the backend go on behind the answer. All that wait for a lease in this process share its attempts.
 * What is not dead by then stays due for the sweep, which never gives up. Answers each lease as it is
 * then, in the order given. Rejects with LedgerUnreachable.
 */
export async function endUntilDead(
  parts: BrokerParts,
  leases: readonly Lease[],
  waitSeconds: number,
): Promise<readonly Lease[]> {
  const { clock } = parts;
  const until = clock.monotonicMs() + waitSeconds * 1000;
  settleBehind(
    parts,
    leases.filter((lease) => lease.state === 'revoked'),
  );
  const living = leases.filter((lease) => lease.state === 'revoking');
  const deaths = awaitDeaths(parts, living, until);
  const all = Promise.all(deaths.map(({ over }) => over));
  const inTime = await within(clock, until - clock.monotonicMs(), all);
  const seen = deaths.map(({ lease }) => lease);
  // What moved in an attempt that is still under way is read back.
  const read =
    inTime === undefined ? await within(clock, LAST_LOOK_MS, readBack(parts, seen)) : undefined;
  const latest = new Map((read ?? seen).map((lease) => [lease.id, lease]));
  return leases.map((lease) => latest.get(lease.id) ?? lease);
}

/** Joins those that are awaited here already, and begins with the others. */
function awaitDeaths(
  parts: BrokerParts,
  living: readonly Lease[],
  untilMs: number,
): readonly AwaitedDeath[] {
  const { deaths } = parts.waiting;
  const begun: AwaitedDeath[] = [];
  const all = living.map((lease) => {
    const known = deaths.get(lease.id);
    const death = known ?? awaitedDeath(lease, untilMs);
    if (!known) begun.push(death);
    death.untilMs = Math.max(death.untilMs, untilMs);
    deaths.set(lease.id, death);
    return death;
  });
  // Whoever joins does not wait for a target at which nothing of theirs is.
  for (const [target, group] of grouped(begun, ({ lease }) => lease.snapshot.target)) {
    void endTogether(parts, target, group);
  }
  return all;
}

/** Attempts at one target, one after the other, for as long as anybody waits. Never rejects. */
async function endTogether(
  parts: BrokerParts,
  target: string,
  begun: readonly AwaitedDeath[],
): Promise<void> {
  let left = begun;
  try {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      await tryAndLook(parts, target, left);
      const until = parts.clock.monotonicMs() + pause;
      const over = left.filter((death) => isOver(death, until));
      left = left.filter((death) => !over.includes(death));
      for (const death of over) {
        parts.waiting.deaths.delete(death.lease.id);
        death.end();
      }
      if (left.length === 0) return;
      await parts.clock.sleep(pause);
    }
  } catch (error) {
    for (const death of left) {
      parts.waiting.deaths.delete(death.lease.id);
      death.fail(error);
    }
  }
}

function isOver({ lease, untilMs }: AwaitedDeath, nextAttemptMs: number): boolean {
  return lease.state !== 'revoking' || nextAttemptMs > untilMs;
}

async function tryAndLook(
  parts: BrokerParts,
  target: string,
  deaths: readonly AwaitedDeath[],
): Promise<void> {
  const leases = deaths.map(({ lease }) => lease);
  const attempt = endOnce(parts, triedNow(leases, endingIsOpen(parts, target)));
  parts.background.run('end', () => attempt);
  const died = new Map((await attempt).map((lease) => [lease.id, lease]));
  for (const death of deaths) {
    // A lease that moved without us (another replica, the sweep) is read back.
    const { id } = death.lease;
    death.lease = died.get(id) ?? (await parts.ledger.lease(id)) ?? death.lease;
  }
}

/**
 * Where a guard fails as a whole its probes are the sweep's, and callers only look. What was never
 * tried goes all the same, once: that gives up the claim under which nobody else may try. What needs
 * no guard is not held up. Pure.
 */
export function triedNow(leases: readonly Lease[], isOpen: boolean): readonly Lease[] {
  if (isOpen) return leases;
  return leases.filter(({ attempts, snapshot }) => attempts === 0 || snapshot.proof !== 'target');
}

async function readBack(parts: BrokerParts, seen: readonly Lease[]): Promise<readonly Lease[]> {
  const read: Lease[] = [];
  for (const lease of seen) {
    const isLeft = lease.state === 'revoking';
    read.push((isLeft ? await parts.ledger.lease(lease.id) : null) ?? lease);
  }
  return read;
}

/**
 * One whole attempt, for endings that nobody waits for; also what goes on when a caller's wait is
 * over. Answers those that died.
 */
export async function endOnce(
  parts: BrokerParts,
  living: readonly Lease[],
): Promise<readonly Lease[]> {
  const died = await endLeases(parts, living);
  settleBehind(parts, died);
  return died;
}

function settleBehind(parts: BrokerParts, dead: readonly Lease[]): void {
  if (dead.length > 0) parts.background.run('settle', () => settleLeases(parts, dead));
}

/** True when nothing of this lease can be used any more. */
export function isDead(lease: Lease): boolean {
  return lease.state === 'revoked' || lease.state === 'settled' || lease.state === 'abandoned';
}
