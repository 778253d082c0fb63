import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import { agentJson } from './agent-json.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { leaseJson } from './lease-json.ts';
import type { HttpParts } from './parts.ts';
import { pathAgent } from './path-id.ts';
import { readQuery } from './query.ts';

const Query = z.object({});

/** `GET /v1/agents`: every agent that is declared or was ever seen. */
export function listAgentsEndpoint({ broker }: HttpParts): Endpoint {
  return async ({ request }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const query = readQuery(request, Query);
    if (!query.ok) return query;
    const agents = await broker.listAgents(caller.value);
    if (!agents.ok) return agents;
    return succeed({ status: 200, body: { agents: agents.value.map(agentJson) } });
  };
}

/** `GET /v1/agents/{id}`: one of them, with its live leases. */
export function showAgentEndpoint({ broker }: HttpParts): Endpoint {
  return async ({ request }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathAgent(request);
    if (!id.ok) return id;
    const agent = await broker.showAgent(caller.value, id.value);
    if (!agent.ok) return agent;
    const leases = agent.value.leases.map(leaseJson);
    return succeed({ status: 200, body: { ...agentJson(agent.value), leases } });
  };
}
