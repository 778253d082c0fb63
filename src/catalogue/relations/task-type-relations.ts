import type { CatalogueProblem } from '../catalogue.ts';
import { complain, unknownReferences } from '../declared.ts';
import type { Declared } from '../declared.ts';
import type { Declarations } from '../declarations.ts';
import { excess } from '../subset.ts';
import type { Scope } from '../scope.ts';
import type { TaskType } from '../task-type.ts';

/** What is wrong between task types and the scopes that they list. */
export function taskTypeProblems(all: Declarations): CatalogueProblem[] {
  return [...all.taskTypes.entries.values()].flatMap((type) => [
    ...unknownReferences(type, 'scopes', type.value.scopes, all.scopes),
    ...eachScope(type, all, ceilingProblems),
  ]);
}

/** What is lawful but probably not meant. */
export function taskTypeWarnings(all: Declarations): CatalogueProblem[] {
  const types = [...all.taskTypes.entries.values()];
  return [
    ...types.flatMap((type) => eachScope(type, all, riskWarnings)),
    ...unreachedLives(types, all),
  ];
}

type Check = (type: Declared<TaskType>, scope: Scope, index: number) => CatalogueProblem[];

function eachScope(type: Declared<TaskType>, all: Declarations, check: Check): CatalogueProblem[] {
  return type.value.scopes.flatMap((name, index) => {
    const scope = all.scopes.entries.get(name)?.value;
    return scope ? check(type, scope, index) : [];
  });
}

/** Invariant I10: a scope that is wider than the ceiling could never be granted. */
function ceilingProblems(
  type: Declared<TaskType>,
  scope: Scope,
  index: number,
): CatalogueProblem[] {
  const outside = excess(scope.grants, type.value.ceiling);
  if (!outside) return [];
  return [
    complain(
      type,
      ['scopes', index],
      `the scope "${scope.name}" grants ${outside.dimension} "${outside.entry}", which is outside the ceiling, so that it could never be granted`,
      `Widen ceiling.${outside.dimension}, or remove the scope here.`,
    ),
  ];
}

const RISKS = ['low', 'medium', 'high', 'critical'] as const;

function riskWarnings(type: Declared<TaskType>, scope: Scope, index: number): CatalogueProblem[] {
  if (RISKS.indexOf(scope.risk) <= RISKS.indexOf(type.value.risk)) return [];
  return [
    complain(
      type,
      ['scopes', index],
      `the scope "${scope.name}" is of ${scope.risk} risk, the task type only of ${type.value.risk}`,
      'Raise the risk of the task type, or give the scope to another one.',
    ),
  ];
}

/** A lease never outlives its task: a longer life of the scope is a promise that cannot be kept. */
function unreachedLives(
  types: readonly Declared<TaskType>[],
  all: Declarations,
): CatalogueProblem[] {
  return [...all.scopes.entries.values()].flatMap((scope) => {
    const lives = types
      .filter((type) => type.value.scopes.includes(scope.value.name))
      .map((type) => type.value.max_ttl_seconds);
    const longest = Math.max(...lives);
    if (lives.length === 0) {
      const remedy = 'List it in a task type, or remove it.';
      return [complain(scope, ['name'], 'is listed by no task type', remedy)];
    }
    if (scope.value.max_ttl_seconds <= longest) return [];
    const problem = `is longer than the life of every task that may ask for it (${longest} s)`;
    return [complain(scope, ['max_ttl_seconds'], problem, `Set it to ${longest} or less.`)];
  });
}
