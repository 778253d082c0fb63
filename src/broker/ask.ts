import type { Agent } from '../catalogue/agent.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Scope } from '../catalogue/scope.ts';
import { excess } from '../catalogue/subset.ts';
import type { Reach } from '../catalogue/subset.ts';
import type { Target } from '../catalogue/target.ts';
import type { TaskType } from '../catalogue/task-type.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure, FailureReason } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { Task } from '../ledger/lease.ts';
import type { DeclaredTask } from './declare-task.ts';

/** A task with everything filled in, within its type. */
export type AskedTask = Reach & {
  readonly identifier: string;
  readonly purpose: string | null;
  readonly workflow: string | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly delegation: { readonly maxDepth: number; readonly maxChildren: number } | null;
  readonly maxTtlSeconds: number;
};

/** What an exchange asks for, found in the catalogue. */
export type Ask = {
  readonly scope: Scope;
  readonly target: Target;
  readonly taskType: TaskType;
  readonly task: AskedTask;
};

/** Scope names as RFC 6749 allows them; one that mints has no space. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/;

/**
 * Finds scope and task type, and holds the built-in rule before any policy: the task lies within
 * its type, the scope's grants lie within the task (invariant I10). What the agent may not know of
 * gets the same answer as what does not exist.
 */
export function findAsk(
  catalogue: Catalogue,
  agent: Agent,
  scopeName: string | null,
  declared: DeclaredTask,
): Result<Ask, Failure> {
  const scope = findScope(catalogue, agent, scopeName);
  if (!scope.ok) return scope;
  const taskType = agent.task_types.includes(declared.taskType)
    ? catalogue.taskTypes.get(declared.taskType)
    : undefined;
  if (!taskType) {
    return refuse('task_type_unknown', 'task_type', 'no such task type for this agent');
  }
  const target = catalogue.targets.get(scope.value.target);
  if (!target || !taskType.scopes.includes(scope.value.name)) {
    return refuse('scope_unknown', 'scope', 'no such scope for this task type');
  }
  const task = withinType(declared, taskType);
  if (!task.ok) return task;
  const outside = excess(scope.value.grants, task.value);
  if (outside) {
    return refuse(
      'scope_wider_than_task',
      'scope',
      `the scope grants ${outside.dimension} ${outside.entry}, which the task does not declare`,
    );
  }
  return succeed({ scope: scope.value, target, taskType, task: task.value });
}

function findScope(
  catalogue: Catalogue,
  agent: Agent,
  name: string | null,
): Result<Scope, Failure> {
  if (name === null) {
    return refuse('scope_missing', 'scope', 'name exactly one scope');
  }
  const scope =
    SCOPE_TOKEN.test(name) && agent.scopes.includes(name) ? catalogue.scopes.get(name) : undefined;
  if (!scope) return refuse('scope_unknown', 'scope', 'no such scope for this agent');
  return succeed(scope);
}

function withinType(declared: DeclaredTask, type: TaskType): Result<AskedTask, Failure> {
  const task: AskedTask = {
    identifier: declared.identifier,
    purpose: declared.purpose,
    workflow: declared.workflow,
    parameters: declared.parameters,
    delegation: declared.delegation,
    maxTtlSeconds: declared.maxTtlSeconds ?? type.max_ttl_seconds,
    actions: declared.actions ?? type.ceiling.actions,
    locations: declared.locations ?? type.ceiling.locations,
    datatypes: declared.datatypes ?? type.ceiling.datatypes,
  };
  const outside = excess(task, type.ceiling);
  if (outside) {
    return refuse(
      'wider_than_task_type',
      outside.dimension,
      `${outside.entry} lies outside what ${type.name} may touch`,
    );
  }
  if (task.maxTtlSeconds > type.max_ttl_seconds) {
    return refuse(
      'wider_than_task_type',
      'max_ttl',
      `a task of type ${type.name} lives at most ${type.max_ttl_seconds} seconds`,
    );
  }
  const unknown = Object.keys(task.parameters).find((name) => !type.parameters?.includes(name));
  if (unknown !== undefined) {
    return refuse('wider_than_task_type', 'parameters', `${type.name} declares no ${unknown}`);
  }
  return succeed(task);
}

/**
 * An exchange under a task that is already open may only repeat or narrow it.
 */
export function widerThanOpen(asked: AskedTask, typeName: string, open: Task): string | undefined {
  if (typeName !== open.taskType) return 'task_type';
  const outside = excess(asked, {
    actions: open.actions,
    locations: open.locations,
    datatypes: open.datatypes ?? undefined,
  });
  if (outside) return outside.dimension;
  if (asked.workflow !== null && asked.workflow !== open.workflow) return 'workflow';
  const changed = Object.entries(asked.parameters).find(
    ([name, value]) => open.parameters[name] !== value,
  );
  if (changed) return 'parameters';
  if (asked.delegation && !withinDelegation(asked.delegation, open.delegation)) return 'delegation';
  return undefined;
}

function withinDelegation(
  asked: { readonly maxDepth: number; readonly maxChildren: number },
  open: { readonly maxDepth: number; readonly maxChildren: number } | null,
): boolean {
  return asked.maxDepth <= (open?.maxDepth ?? 0) && asked.maxChildren <= (open?.maxChildren ?? 0);
}

function refuse(reason: FailureReason, field: string, detail: string): Result<never, Failure> {
  return fail(failure(reason, detail, { field }));
}
