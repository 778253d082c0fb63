import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import { leaseDetailJson } from './lease-json.ts';
import type { HttpParts } from './parts.ts';
import { pathId } from './path-id.ts';
import { waitSecondsOf } from './prefer-wait.ts';
import { VisibleProse } from './visible-prose.ts';

const Body = z.strictObject({ reason: VisibleProse });

/** `POST /v1/leases/{id}/retry`: 200 when nothing of it is left, 202 when something still is. */
export function retryLeaseEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathId(request, 'lease');
    if (!id.ok) return id;
    Object.assign(notes, { operator: caller.value.name, lease_id: id.value });
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const wait = waitSecondsOf(request);
    const tried = await broker.retryLease(caller.value, id.value, body.value.reason, wait);
    if (!tried.ok) return tried;
    const { state, residue } = tried.value;
    notes['state'] = state;
    const closed = state === 'abandoned' || (state === 'settled' && residue === null);
    return succeed({
      status: closed ? 200 : 202,
      headers: { 'Preference-Applied': `wait=${wait}` },
      body: leaseDetailJson(tried.value),
    });
  };
}
