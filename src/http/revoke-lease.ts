import { succeed } from '../foundation/result.ts';
import type { Endpoint } from './endpoint.ts';
import { isDead, leaseDetailJson } from './lease-json.ts';
import { operatorAction, waited } from './operator-action.ts';
import type { HttpParts } from './parts.ts';

/** `POST /v1/leases/{id}/revoke`: 200 when it is dead, 202 with its state when that takes longer. */
export function revokeLeaseEndpoint(parts: HttpParts): Endpoint {
  return async (call) => {
    const action = await operatorAction(parts, call, 'lease');
    if (!action.ok) return action;
    const { caller, id, reason, waitSeconds } = action.value;
    const ended = await parts.broker.revokeLease(caller, id, reason, waitSeconds);
    if (!ended.ok) return ended;
    call.notes['state'] = ended.value.state;
    return succeed({
      status: isDead(ended.value) ? 200 : 202,
      headers: waited(action.value),
      body: leaseDetailJson(ended.value),
    });
  };
}
