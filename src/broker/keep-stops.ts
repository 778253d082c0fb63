import { SELECTS_NOTHING } from '../ledger/stop.ts';
import type { FenceSelected } from '../ledger/stop.ts';
import { STOP_BATCH, STOP_TAKEN_OVER_SECONDS } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { endingOf } from './revoke-selected.ts';

/**
 * What a stop began and its replica did not live to finish: leases of quarantined agents that are
 * not fenced, and revocations that were not ended, a batch of each a pass. Normally there is none,
 * and a look at two nearly empty places says so.
 */
export async function keepStops(parts: BrokerParts): Promise<void> {
  await Promise.all([fenceQuarantined(parts), finishStops(parts)]);
}

async function fenceQuarantined(parts: BrokerParts): Promise<void> {
  for (const { id: agentId, quarantine } of await parts.ledger.quarantinedNotFenced()) {
    if (quarantine === null) continue;
    const { by, reason } = quarantine;
    const selector = { ...SELECTS_NOTHING, agentId };
    await fenceBatch(parts, { selector, cause: 'quarantine', by, reason });
  }
}

/** By now no exchange is under way any more that had begun before the stop. */
async function finishStops(parts: BrokerParts): Promise<void> {
  for (const stop of await parts.ledger.stops(STOP_TAKEN_OVER_SECONDS)) {
    const ending = endingOf(stop);
    await fenceBatch(parts, ending);
    const { open } = await parts.ledger.countSelected(ending.selector, ending.cause);
    if (open === 0) await parts.ledger.endStop(stop.id);
  }
}

async function fenceBatch(parts: BrokerParts, ending: Omit<FenceSelected, 'claim'>): Promise<void> {
  const fenced = await parts.ledger.fenceSelected({ ...ending, claim: false }, STOP_BATCH);
  fenced.forEach(() => parts.metrics.ended(ending.cause));
  if (fenced.length === 0) return;
  parts.log.warn(
    { selector: ending.selector, cause: ending.cause, fenced: fenced.length },
    'fenced what a stop had not come to',
  );
}
