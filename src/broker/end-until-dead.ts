import { within } from '../foundation/clock.ts';
import type { Lease } from '../ledger/lease.ts';
import { endLeases } from './end-leases.ts';
import type { BrokerParts } from './parts.ts';
import { settleLeases } from './settle-leases.ts';

/** Milliseconds between attempts while a caller waits; doubled by each, up to the longest. */
const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 400;

/** Milliseconds beyond the wait in which the states are read that a 202 shows. */
const LAST_LOOK_MS = 250;

/**
 * Ends these leases, again and again while the caller's wait lasts, and lets the settling with
 * the backend go on behind the answer. What is not dead by then stays due for the sweep, which
 * never gives up. Answers each lease as it is then, in the order given.
 */
export async function endUntilDead(
  parts: BrokerParts,
  leases: readonly Lease[],
  waitSeconds: number,
): Promise<readonly Lease[]> {
  const until = parts.clock.monotonicMs() + waitSeconds * 1000;
  const latest = new Map(leases.map((lease) => [lease.id, lease]));
  let pause = FIRST_PAUSE_MS;
  settleBehind(
    parts,
    leases.filter((lease) => lease.state === 'revoked'),
  );
  for (;;) {
    const living = [...latest.values()].filter((lease) => lease.state === 'revoking');
    const attempt = endOnce(parts, living);
    const died = await withinWait(parts, attempt, until);
    for (const lease of died ?? []) latest.set(lease.id, lease);
    // A lease that moved without us (another replica, the sweep), or in a part of an attempt that is
    // still under way, is read back.
    const left = living.filter((lease) => latest.get(lease.id)?.state === 'revoking');
    const reading = readBack(parts, left, latest);
    if (died === undefined) {
      await withinWait(parts, reading, parts.clock.monotonicMs() + LAST_LOOK_MS);
      break;
    }
    await reading;
    const alive = left.some((lease) => latest.get(lease.id)?.state === 'revoking');
    if (!alive || parts.clock.monotonicMs() + pause > until) break;
    await parts.clock.sleep(pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
  return leases.map((lease) => latest.get(lease.id) ?? lease);
}

async function readBack(
  parts: BrokerParts,
  left: readonly Lease[],
  latest: Map<string, Lease>,
): Promise<readonly Lease[]> {
  for (const { id } of left) {
    const lease = await parts.ledger.lease(id);
    if (lease) latest.set(id, lease);
  }
  return [...latest.values()];
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

/** The attempt's answer, or undefined where a slow target takes longer than the caller waits. */
function withinWait(
  parts: BrokerParts,
  attempt: Promise<readonly Lease[]>,
  until: number,
): Promise<readonly Lease[] | undefined> {
  parts.background.run('end', () => attempt);
  return within(parts.clock, until - parts.clock.monotonicMs(), attempt);
}

function settleBehind(parts: BrokerParts, dead: readonly Lease[]): void {
  if (dead.length > 0) parts.background.run('settle', () => settleLeases(parts, dead));
}

/** True when nothing of this lease can be used any more. */
export function isDead(lease: Lease): boolean {
  return lease.state === 'revoked' || lease.state === 'settled' || lease.state === 'abandoned';
}
