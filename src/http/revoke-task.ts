import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';
import { pathId } from './path-id.ts';
import { waitSecondsOf } from './prefer-wait.ts';
import { taskEndingJson } from './task-json.ts';
import { VisibleProse } from './visible-prose.ts';

const Body = z.strictObject({ reason: VisibleProse });

/** `POST /v1/tasks/{id}/revoke`: as completing, by an operator and with a reason. */
export function revokeTaskEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const id = pathId(request, 'task');
    if (!id.ok) return id;
    Object.assign(notes, { operator: caller.value.name, task_id: id.value });
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const wait = waitSecondsOf(request);
    const ended = await broker.revokeTask(caller.value, id.value, body.value.reason, wait);
    if (!ended.ok) return ended;
    Object.assign(notes, { leases: ended.value.leases.length, all_dead: ended.value.allDead });
    return succeed({
      status: ended.value.allDead ? 200 : 202,
      headers: { 'Preference-Applied': `wait=${wait}` },
      body: taskEndingJson(ended.value),
    });
  };
}
