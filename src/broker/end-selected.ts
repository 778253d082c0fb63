import type { Lease } from '../ledger/lease.ts';
import type { FenceSelected } from '../ledger/stop.ts';
import type { ManyEnded } from './broker.ts';
import { endUntilDead } from './end-until-dead.ts';
import { STOP_BATCH, STOP_ENDS_ITSELF, STOP_LOOK_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

type Ending = Omit<FenceSelected, 'claim'>;

/**
 * Fences every lease that the selector selects, in batches, and waits up to `waitSeconds` for their
 * deaths. The first ones are ended here; all further ones are due at once for every replica's
 * sweep, so that ten thousand do not hang on one process. Those that were dying before are ended here
 * too, whoever claims them: the replica that does may be dead, and to ask again must help at once.
 */
export async function endSelected(
  parts: BrokerParts,
  ending: Ending,
  waitSeconds: number,
  whenFenced: () => Promise<void> = () => Promise.resolve(),
): Promise<ManyEnded> {
  const until = parts.clock.monotonicMs() + waitSeconds * 1000;
  const before = await parts.ledger.countSelected(ending.selector, ending.cause);
  const stuck =
    before.dying > 0 ? await parts.ledger.dyingSelected(ending.selector, STOP_ENDS_ITSELF) : [];
  const own = await fence(parts, ending, true);
  const dying = endUntilDead(parts, [...stuck, ...own], waitSeconds);
  // It has its own listener below; a failure before that must not count as unhandled.
  dying.catch(() => undefined);
  const fenced = own.length + (await fenceRest(parts, ending));
  await whenFenced();
  await dying;
  const left = await waitForDeaths(parts, ending, until);
  return { fenced, dead: Math.max(0, before.dying + fenced - left), dying: left };
}

/** Batches until nothing is left open. Answers how many were fenced. */
async function fenceRest(parts: BrokerParts, ending: Ending): Promise<number> {
  let fenced = 0;
  for (;;) {
    const batch = await fence(parts, ending, false);
    fenced += batch.length;
    // A batch may be empty because others fenced all of it meanwhile: only the count says the end.
    if (batch.length > 0) continue;
    const { open } = await parts.ledger.countSelected(ending.selector, ending.cause);
    if (open === 0) return fenced;
  }
}

async function fence(
  parts: BrokerParts,
  ending: Ending,
  claim: boolean,
): Promise<readonly Lease[]> {
  const limit = claim ? STOP_ENDS_ITSELF : STOP_BATCH;
  const leases = await parts.ledger.fenceSelected({ ...ending, claim }, limit);
  leases.forEach(() => parts.metrics.ended(ending.cause));
  return leases;
}

async function waitForDeaths(
  parts: BrokerParts,
  { selector, cause }: Ending,
  until: number,
): Promise<number> {
  for (;;) {
    const { dying } = await parts.ledger.countSelected(selector, cause);
    if (dying === 0 || parts.clock.monotonicMs() + STOP_LOOK_MS > until) return dying;
    await parts.clock.sleep(STOP_LOOK_MS);
  }
}
