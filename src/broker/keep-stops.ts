import { SELECTS_NOTHING } from '../ledger/stop.ts';
import { STOP_BATCH } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * What a quarantine began and its replica did not live to finish: leases that are not fenced, a
 * batch of each agent a pass. Normally there is none, and one look through a small index says so.
 */
export async function keepStops(parts: BrokerParts): Promise<void> {
  for (const { id: agentId, quarantine } of await parts.ledger.quarantinedNotFenced()) {
    if (quarantine === null) continue;
    const { by, reason } = quarantine;
    const selector = { ...SELECTS_NOTHING, agentId };
    const rest = { selector, cause: 'quarantine', by, reason, claim: false } as const;
    const fenced = await parts.ledger.fenceSelected(rest, STOP_BATCH);
    fenced.forEach(() => parts.metrics.ended('quarantine'));
    parts.log.warn(
      { agent: agentId, fenced: fenced.length },
      'fenced what a quarantine had not come to',
    );
  }
}
