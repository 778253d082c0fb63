import { succeed } from '../foundation/result.ts';
import { agentJson, manyEndedJson } from './agent-json.ts';
import type { Endpoint } from './endpoint.ts';
import { operatorAction, waited } from './operator-action.ts';
import type { HttpParts } from './parts.ts';

/**
 * `POST /v1/agents/{id}/quarantine`: 200 when every lease of the agent is dead, 202 with counts when
 * that takes longer than `Prefer: wait=N`. Either way nothing can be granted to it any more.
 */
export function quarantineEndpoint(parts: HttpParts): Endpoint {
  return async (call) => {
    const action = await operatorAction(parts, call, 'agent');
    if (!action.ok) return action;
    const { caller, id, reason: why, waitSeconds } = action.value;
    const stopped = await parts.broker.quarantine(caller, id, why, waitSeconds);
    if (!stopped.ok) return stopped;
    const { agentId, quarantine, changed, leases } = stopped.value;
    Object.assign(call.notes, { agent: agentId, ...leases });
    const { since, by, reason } = quarantine;
    return succeed({
      status: leases.dying === 0 ? 200 : 202,
      headers: waited(action.value),
      body: {
        id: agentId,
        state: 'quarantined',
        changed,
        quarantine: { since: since.toISOString(), by, reason },
        leases: manyEndedJson(leases),
      },
    });
  };
}

/** `POST /v1/agents/{id}/release`: new exchanges pass again; ended leases stay ended. */
export function releaseEndpoint(parts: HttpParts): Endpoint {
  return async (call) => {
    const action = await operatorAction(parts, call, 'agent');
    if (!action.ok) return action;
    const { caller, id, reason } = action.value;
    const released = await parts.broker.release(caller, id, reason);
    if (!released.ok) return released;
    const { changed, ...agent } = released.value;
    call.notes['agent'] = id;
    return succeed({ status: 200, body: { ...agentJson(agent), changed } });
  };
}
