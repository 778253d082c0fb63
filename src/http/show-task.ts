import { succeed } from '../foundation/result.ts';
import { anyCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { leaseJson } from './lease-json.ts';
import type { HttpParts } from './parts.ts';
import { pathId } from './path-id.ts';
import { taskJson } from './task-json.ts';

/** `GET /v1/tasks/{id}`: with its leases, for operators and for an agent its own. */
export function showTaskEndpoint({ broker }: HttpParts): Endpoint {
  return async ({ request }) => {
    const caller = await anyCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathId(request, 'task');
    if (!id.ok) return id;
    const shown = await broker.showTask(caller.value, id.value);
    if (!shown.ok) return shown;
    const { task, leases } = shown.value;
    return succeed({ status: 200, body: { ...taskJson(task), leases: leases.map(leaseJson) } });
  };
}
