import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { BrokerParts } from './parts.ts';
import { CANARY } from './self-check.ts';

/**
 * One that was removed from the catalogue can still be stopped: leases of it may live. The self-check's
 * own agent is nobody's to stop or to let go.
 */
export async function isKnownAgent(parts: BrokerParts, agentId: string): Promise<boolean> {
  if (agentId === CANARY.agent) return false;
  if (parts.catalogue.current().agents.has(agentId)) return true;
  return (await parts.ledger.agent(agentId)) !== null;
}

/** @param field the member of the request that named it; a name nobody has ends nothing at all. */
export function noSuchAgent(field: string): Result<never, Failure> {
  const detail = 'no such agent, neither in the catalogue nor in the ledger';
  return fail(failure('not_found', detail, { field }));
}
