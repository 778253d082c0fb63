import type { Lease } from '../ledger/lease.ts';
import { parseName } from '../target/credential-name.ts';
import type { TargetAccess } from '../target/target-access.ts';
import { isFlooded } from './end-due.ts';
import { problemOf } from './end-leases.ts';
import { isDead } from './end-until-dead.ts';
import { BY_NAME_GRACE_MS, NAMES_PER_CALL, NAMES_PER_PASS, SAME_ENDING_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import type { UnderWay } from './revoke-due.ts';

/**
 * Asks every guard for names past their own deadline and ends them: neither the ledger nor
 * OpenBao is needed, so that a lost or unreachable one keeps nothing alive (invariant I4). A user
 * found under a lease that is closed already is counted and alarmed. A target that an earlier call
 * is still asking is left out, so that a frozen one is asked once, not once a second; so is one for
 * which the ledger has just named more than can be ended, since these are the same names.
 */
export async function endOverdueNames(
  parts: BrokerParts,
  { looking, inHand }: Pick<UnderWay, 'looking' | 'inHand'>,
  tally: { endedByName: number },
): Promise<void> {
  const targets = parts.targets
    .names()
    .filter((target) => !looking.has(target) && !isFlooded(parts, inHand, target));
  await Promise.all(
    targets.map(async (target) => {
      const access = parts.targets.access(target);
      if (!access) return;
      looking.add(target);
      const askedAtMs = parts.clock.monotonicMs();
      try {
        tally.endedByName += await endAtTarget(parts, target, access);
      } catch (error) {
        // One target out of reach must not keep the others from being looked at.
        parts.circuits.looking.failed(target, problemOf(error), askedAtMs);
        const problem = error instanceof Error ? error.name : 'error';
        parts.log.warn({ target, problem }, 'names past their deadline could not be asked for');
      } finally {
        looking.delete(target);
      }
    }),
  );
}

async function endAtTarget(
  parts: BrokerParts,
  target: string,
  access: TargetAccess,
): Promise<number> {
  const { looking } = parts.circuits;
  const listed = await looking.listen(target, access.guard.overdue(NAMES_PER_PASS));
  looking.succeeded(target);
  parts.circuits.ending.probeSoon(target);
  if (listed.length === 0) return 0;
  const targetNow = (await looking.listen(target, access.guard.now())).getTime();
  const overdue = listed
    .map(({ name }) => name)
    .filter((name) => {
      const deadline = parseName(name)?.deadline.getTime() ?? targetNow;
      return targetNow - deadline >= BY_NAME_GRACE_MS;
    });
  let ended = 0;
  for (let at = 0; at < overdue.length; at += NAMES_PER_CALL) {
    const call = access.guard.end(overdue.slice(at, at + NAMES_PER_CALL));
    const endings = await looking.listen(target, call);
    looking.succeeded(target);
    const dead = endings.filter((ending) => ending.ended && ending.closing === 'alive');
    ended += dead.length;
    parts.background.run('look for resurrected names', () =>
      reportResurrected(
        parts,
        target,
        dead.filter((ending) => ending.residue === null).map((ending) => ending.name),
        targetNow,
      ),
    );
  }
  if (ended > 0) {
    parts.metrics.endedByName(target, ended);
    parts.log.warn({ target, ended }, 'names past their deadline were ended by the guard alone');
  }
  return ended;
}

/** What was alive under a lease that the ledger holds for dead. */
async function reportResurrected(
  parts: BrokerParts,
  target: string,
  names: readonly string[],
  listedAtMs: number,
): Promise<void> {
  for (const name of names) {
    const lease = await parts.ledger.leaseByName(name);
    if (lease && isDead(lease) && lease.residue === null && diedBefore(lease, listedAtMs)) {
      parts.metrics.resurrected();
      parts.log.error({ lease: lease.id, target }, 'a closed lease had a live user; it was ended');
      await parts.ledger.recordResurrected(lease.id, { name, target });
    }
  }
}

/**
 * True where the death was seen well before the name was listed, by the target's clock; by the ledger's
 * where the guard did not see it, but OpenBao said so. Both halves of one pass may end the same name: the
 * one that comes second has found nothing risen. What was never made was dead all along.
 */
export function diedBefore({ evidence, revokedAt }: Lease, listedAtMs: number): boolean {
  const seen = evidence as { readonly guard?: { readonly at?: string } } | null;
  const at = seen?.guard?.at === undefined ? revokedAt?.getTime() : Date.parse(seen.guard.at);
  return at === undefined || at < listedAtMs - SAME_ENDING_MS;
}
