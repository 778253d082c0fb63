import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import { agentJson, manyEndedJson } from './agent-json.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';
import { pathAgent } from './path-id.ts';
import { waitSecondsOf } from './prefer-wait.ts';
import { VisibleProse } from './visible-prose.ts';

const Body = z.strictObject({ reason: VisibleProse });

/**
 * `POST /v1/agents/{id}/quarantine`: 200 when every lease of the agent is dead, 202 with counts when
 * that takes longer than `Prefer: wait=N`. Either way nothing can be granted to it any more.
 */
export function quarantineEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathAgent(request);
    if (!id.ok) return id;
    Object.assign(notes, { operator: caller.value.name, agent: id.value });
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const wait = waitSecondsOf(request);
    const stopped = await broker.quarantine(caller.value, id.value, body.value.reason, wait);
    if (!stopped.ok) return stopped;
    const { agentId, quarantine, changed, leases } = stopped.value;
    Object.assign(notes, leases);
    const { since, by, reason } = quarantine;
    return succeed({
      status: leases.dying === 0 ? 200 : 202,
      headers: { 'Preference-Applied': `wait=${wait}` },
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
export function releaseEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathAgent(request);
    if (!id.ok) return id;
    Object.assign(notes, { operator: caller.value.name, agent: id.value });
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const released = await broker.release(caller.value, id.value, body.value.reason);
    if (!released.ok) return released;
    const { changed, ...agent } = released.value;
    return succeed({ status: 200, body: { ...agentJson(agent), changed } });
  };
}
