import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import { agentCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';
import { pathId } from './path-id.ts';
import { waitSecondsOf } from './prefer-wait.ts';
import { taskEndingJson } from './task-json.ts';
import { VisibleProse } from './visible-prose.ts';

const Body = z.strictObject({
  outcome: z.enum(['succeeded', 'failed', 'cancelled']),
  note: VisibleProse.optional(),
});

/**
 * `POST /v1/tasks/{id}/complete`: 200 when every lease of the task is dead, 202 with their states
 * when that takes longer than `Prefer: wait=N`. Repeating it is fine.
 */
export function completeTaskEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await agentCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathId(request, 'task');
    if (!id.ok) return id;
    Object.assign(notes, { agent: caller.value.agent.id, task_id: id.value });
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const completion = { outcome: body.value.outcome, note: body.value.note ?? null };
    const wait = waitSecondsOf(request);
    const ended = await broker.completeTask(caller.value, id.value, completion, wait);
    if (!ended.ok) return ended;
    Object.assign(notes, { leases: ended.value.leases.length, all_dead: ended.value.allDead });
    return succeed({
      status: ended.value.allDead ? 200 : 202,
      headers: { 'Preference-Applied': `wait=${ended.value.waitSeconds}` },
      body: taskEndingJson(ended.value),
    });
  };
}
