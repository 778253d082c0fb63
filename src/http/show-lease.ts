import { succeed } from '../foundation/result.ts';
import { anyCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { eventJson, leaseDetailJson, leaseJson } from './lease-json.ts';
import type { HttpParts } from './parts.ts';
import { pathId } from './path-id.ts';

/** `GET /v1/leases/{id}`: with evidence and events, for operators and for an agent its own. */
export function showLeaseEndpoint({ broker }: HttpParts): Endpoint {
  return async ({ request }) => {
    const caller = await anyCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathId(request, 'lease');
    if (!id.ok) return id;
    const shown = await broker.showLease(caller.value, id.value);
    if (!shown.ok) return shown;
    const { lease, events } = shown.value;
    const json = caller.value.kind === 'operator' ? leaseDetailJson(lease) : leaseJson(lease);
    return succeed({ status: 200, body: { ...json, events: events.map(eventJson) } });
  };
}
