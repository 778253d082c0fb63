import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import { LIVE_STATES } from '../ledger/lease-states.ts';
import type { AgentDetail, AgentView } from './broker.ts';
import { withLedger } from './ledger-faults.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';

/** Live leases of one agent that are shown with it. */
const LEASES_OF_AN_AGENT = 200;

/** All that are declared, or were ever seen, by id. */
export function listAgents(
  parts: BrokerParts,
  caller: OperatorCaller,
): Promise<Result<readonly AgentView[], Failure>> {
  return withPermission(caller, 'agents.read', () =>
    withLedger(async () => {
      const records = new Map((await parts.ledger.agents()).map((record) => [record.id, record]));
      const { agents } = parts.catalogue.current();
      const ids = [...new Set([...agents.keys(), ...records.keys()])].sort();
      return succeed(
        ids.map((id) => ({
          id,
          declared: agents.get(id) ?? null,
          record: records.get(id) ?? null,
        })),
      );
    }),
  );
}

export function showAgent(
  parts: BrokerParts,
  caller: OperatorCaller,
  agentId: string,
): Promise<Result<AgentDetail, Failure>> {
  return withPermission(caller, 'agents.read', () =>
    withLedger(async () => {
      const view = await viewAgent(parts, agentId);
      if (view.declared === null && view.record === null) {
        return fail(failure('not_found', 'no such agent', { field: 'agent_id' }));
      }
      const live = { agentId, states: LIVE_STATES };
      const { items } = await parts.ledger.leases(live, LEASES_OF_AN_AGENT, null);
      return succeed({ ...view, leases: items });
    }),
  );
}

export async function viewAgent(parts: BrokerParts, agentId: string): Promise<AgentView> {
  return {
    id: agentId,
    declared: parts.catalogue.current().agents.get(agentId) ?? null,
    record: await parts.ledger.agent(agentId),
  };
}
