import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { Flag, PAGING, Wanted } from './paging.ts';
import type { HttpParts } from './parts.ts';
import { readQuery } from './query.ts';
import { taskJson } from './task-json.ts';

const Query = z.object({
  open: Flag.optional(),
  agent: Wanted.optional(),
  task_type: Wanted.optional(),
  identifier: Wanted.optional(),
  workflow: Wanted.optional(),
  ...PAGING,
});

/** `GET /v1/tasks`: all of them, newest first, unless filtered; keyset paging. */
export function listTasksEndpoint({ broker }: HttpParts): Endpoint {
  return async ({ request }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const query = readQuery(request, Query);
    if (!query.ok) return query;
    const { open, agent, task_type: taskType, identifier, workflow, limit, cursor } = query.value;
    const filter = {
      ...(open === undefined ? {} : { open }),
      ...(agent === undefined ? {} : { agentId: agent }),
      ...(taskType === undefined ? {} : { taskType }),
      ...(identifier === undefined ? {} : { identifier }),
      ...(workflow === undefined ? {} : { workflow }),
    };
    const page = await broker.listTasks(caller.value, filter, limit, cursor ?? null);
    if (!page.ok) return page;
    const { items, cursor: next } = page.value;
    return succeed({ status: 200, body: { tasks: items.map(taskJson), cursor: next } });
  };
}
