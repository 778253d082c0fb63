import { CATALOGUE_EVERY_MS, CATALOGUE_IN_USE_SECONDS, STOP_BATCH } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { hasEnded } from './plan-exchange.ts';
import { CANARY } from './self-check.ts';

/** What this process last told the ledger of its catalogue. */
export type CatalogueNoted = { hash: string; atMs: number };

export function nothingNoted(): CatalogueNoted {
  return { hash: '', atMs: -Infinity };
}

/**
 * Tells the ledger that the catalogue of this hash is in force here, or is about to be. Told before it
 * grants anything, and by replicas that do not sweep too: what only it declares is then left alone by
 * those with older files.
 */
export async function announceCatalogue(
  parts: Pick<BrokerParts, 'ledger'>,
  hash: string,
): Promise<void> {
  await parts.ledger.noteCatalogue(hash, CATALOGUE_IN_USE_SECONDS);
}

/**
 * Tells the ledger which catalogue is in force here, and, where no newer one is in force on any
 * replica, ends the leases of agents, scopes and task types that it does not know (any more), and
 * of agents that have ended. At once after a reload, and then every few seconds, since replicas
 * with older files may still grant.
 */
export async function keepCatalogue(parts: BrokerParts, noted: CatalogueNoted): Promise<void> {
  const catalogue = parts.catalogue.current();
  const nowMs = parts.clock.monotonicMs();
  if (noted.hash === catalogue.hash && nowMs - noted.atMs < CATALOGUE_EVERY_MS) return;
  const { newest, now } = await parts.ledger.noteCatalogue(
    catalogue.hash,
    CATALOGUE_IN_USE_SECONDS,
  );
  if (newest) {
    const agents = [...catalogue.agents.values()].filter((agent) => !hasEnded(agent, now));
    const declared = {
      agents: [...agents.map(({ id }) => id), CANARY.agent],
      scopes: [...catalogue.scopes.keys(), CANARY.scope],
      taskTypes: [...catalogue.taskTypes.keys(), CANARY.taskType],
    };
    const fenced = await parts.ledger.fenceUndeclared(catalogue.hash, declared, STOP_BATCH);
    fenced.forEach(() => parts.metrics.ended('catalogue'));
    if (fenced.length > 0) {
      parts.log.warn(
        { fenced: fenced.length, catalogue: catalogue.hash },
        'ended what the catalogue does not know any more',
      );
    }
    // More may be left: the next pass looks again.
    if (fenced.length === STOP_BATCH) return;
  }
  Object.assign(noted, { hash: catalogue.hash, atMs: nowMs });
}
