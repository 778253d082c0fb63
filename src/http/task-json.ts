import type { AskedTask } from '../broker/ask.ts';
import type { TaskEnding } from '../broker/broker.ts';
import type { Task } from '../ledger/lease.ts';
import { leaseJson } from './lease-json.ts';

/** A task as REST shows it: snake case, RFC 3339 in UTC. */
export function taskJson(task: Task) {
  return {
    id: task.id,
    agent: task.agentId,
    owner: task.owner,
    task_type: task.taskType,
    identifier: task.identifier,
    purpose: task.purpose,
    workflow: task.workflow,
    actions: task.actions,
    locations: task.locations,
    datatypes: task.datatypes,
    parameters: task.parameters,
    delegation: delegationJson(task.delegation),
    opened_by_instance: task.openedByInstance,
    opened_at: task.openedAt.toISOString(),
    deadline: task.deadline.toISOString(),
    ended_at: task.endedAt === null ? null : task.endedAt.toISOString(),
    end_cause: task.endCause,
    outcome: task.outcome,
    note: task.note,
  };
}

/** What became of a task: how far the death of its leases is, and the evidence of each. */
export function taskEndingJson(ending: TaskEnding) {
  return {
    task: taskJson(ending.task),
    all_dead: ending.allDead,
    lease_count: ending.leaseCount,
    leases: ending.leases.map(leaseJson),
  };
}

/** RFC 9396 7: the details as granted, which may be narrower than those of the task that is open. */
export function grantedDetails(task: Task, granted: AskedTask) {
  const taskSeconds = Math.round((task.deadline.getTime() - task.openedAt.getTime()) / 1000);
  return {
    type: 'agent_task',
    task_type: task.taskType,
    identifier: task.identifier,
    ...(task.purpose === null ? {} : { purpose: task.purpose }),
    actions: granted.actions,
    locations: granted.locations,
    ...(granted.datatypes === undefined ? {} : { datatypes: granted.datatypes }),
    max_ttl: Math.min(taskSeconds, granted.maxTtlSeconds),
    ...(task.workflow === null ? {} : { workflow: task.workflow }),
    ...(granted.delegation === null ? {} : { delegation: delegationJson(granted.delegation) }),
    ...(Object.keys(granted.parameters).length === 0 ? {} : { parameters: granted.parameters }),
  };
}

function delegationJson(delegation: Task['delegation']) {
  if (delegation === null) return null;
  return { max_depth: delegation.maxDepth, max_children: delegation.maxChildren };
}
