import { succeed } from '../foundation/result.ts';
import type { Endpoint } from './endpoint.ts';
import { operatorAction, waited } from './operator-action.ts';
import type { HttpParts } from './parts.ts';
import { taskEndingJson } from './task-json.ts';

/** `POST /v1/tasks/{id}/revoke`: as completing, by an operator and with a reason. */
export function revokeTaskEndpoint(parts: HttpParts): Endpoint {
  return async (call) => {
    const action = await operatorAction(parts, call, 'task');
    if (!action.ok) return action;
    const { caller, id, reason, waitSeconds } = action.value;
    const ended = await parts.broker.revokeTask(caller, id, reason, waitSeconds);
    if (!ended.ok) return ended;
    Object.assign(call.notes, { leases: ended.value.leases.length, all_dead: ended.value.allDead });
    return succeed({
      status: ended.value.allDead ? 200 : 202,
      headers: waited(action.value),
      body: taskEndingJson(ended.value),
    });
  };
}
