import type { CatalogueProblem } from '../catalogue.ts';
import type { Declarations } from '../declarations.ts';
import { agentProblems, agentWarnings } from './agent-relations.ts';
import { issuerProblems } from './issuer-relations.ts';
import { operatorProblems } from './operator-relations.ts';
import { scopeProblems } from './scope-relations.ts';
import { targetProblems, targetWarnings } from './target-relations.ts';
import { taskTypeProblems, taskTypeWarnings } from './task-type-relations.ts';

/** Everything that only shows when entries are seen together. */
export function relationProblems(all: Declarations, publicUrl: string): CatalogueProblem[] {
  return [
    ...issuerProblems(all, publicUrl),
    ...agentProblems(all),
    ...taskTypeProblems(all),
    ...scopeProblems(all),
    ...targetProblems(all),
    ...operatorProblems(all),
  ];
}

/** What does not hinder a start but deserves a look. */
export function relationWarnings(all: Declarations, now: Date | undefined): CatalogueProblem[] {
  return [...agentWarnings(all, now), ...taskTypeWarnings(all), ...targetWarnings(all)];
}
