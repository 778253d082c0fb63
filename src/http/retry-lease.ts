import { succeed } from '../foundation/result.ts';
import type { Endpoint } from './endpoint.ts';
import { leaseDetailJson } from './lease-json.ts';
import { operatorAction, waited } from './operator-action.ts';
import type { HttpParts } from './parts.ts';

/** `POST /v1/leases/{id}/retry`: 200 when nothing of it is left, 202 when something still is. */
export function retryLeaseEndpoint(parts: HttpParts): Endpoint {
  return async (call) => {
    const action = await operatorAction(parts, call, 'lease');
    if (!action.ok) return action;
    const { caller, id, reason, waitSeconds } = action.value;
    const tried = await parts.broker.retryLease(caller, id, reason, waitSeconds);
    if (!tried.ok) return tried;
    const { state, residue } = tried.value;
    call.notes['state'] = state;
    const closed = state === 'abandoned' || (state === 'settled' && residue === null);
    return succeed({
      status: closed ? 200 : 202,
      headers: waited(action.value),
      body: leaseDetailJson(tried.value),
    });
  };
}
