import { parseName } from '../target/credential-name.ts';
import type { TargetAccess } from '../target/target-access.ts';
import { isDead } from './end-until-dead.ts';
import { BY_NAME_GRACE_MS, NAMES_PER_CALL, NAMES_PER_PASS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Asks every guard for names past their own deadline and ends them: neither the ledger nor
 * OpenBao is needed, so that a lost or unreachable one keeps nothing alive (invariant I4). A user
 * found under a lease that is closed already is counted and alarmed. Answers how many were ended.
 */
export async function endOverdueNames(parts: BrokerParts): Promise<number> {
  const counts = await Promise.all(
    parts.targets.names().map(async (target) => {
      const access = parts.targets.access(target);
      if (!access) return 0;
      try {
        return await endAtTarget(parts, target, access);
      } catch (error) {
        // One target out of reach must not keep the others from being looked at.
        const problem = error instanceof Error ? error.name : 'error';
        parts.log.warn({ target, problem }, 'names past their deadline could not be asked for');
        return 0;
      }
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function endAtTarget(
  parts: BrokerParts,
  target: string,
  access: TargetAccess,
): Promise<number> {
  const listed = await access.guard.overdue(NAMES_PER_PASS);
  if (listed.length === 0) return 0;
  const targetNow = (await access.guard.now()).getTime();
  const overdue = listed
    .map(({ name }) => name)
    .filter((name) => {
      const deadline = parseName(name)?.deadline.getTime() ?? targetNow;
      return targetNow - deadline >= BY_NAME_GRACE_MS;
    });
  let ended = 0;
  for (let at = 0; at < overdue.length; at += NAMES_PER_CALL) {
    const endings = await access.guard.end(overdue.slice(at, at + NAMES_PER_CALL));
    const dead = endings.filter((ending) => ending.ended && ending.closing === 'alive');
    ended += dead.length;
    parts.background.run('look for resurrected names', () =>
      reportResurrected(
        parts,
        target,
        dead.filter((ending) => ending.residue === null).map((ending) => ending.name),
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
): Promise<void> {
  for (const name of names) {
    const lease = await parts.ledger.leaseByName(name);
    if (lease && isDead(lease) && lease.residue === null) {
      parts.metrics.resurrected();
      parts.log.error({ lease: lease.id, target }, 'a closed lease had a live user; it was ended');
      await parts.ledger.recordResurrected(lease.id, { name, target });
    }
  }
}
