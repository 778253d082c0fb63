import type { Agent } from './agent.ts';
import type { Issuer } from './issuer.ts';
import type { Limits } from './limits.ts';
import type { Operators } from './operators.ts';
import type { Scope } from './scope.ts';
import type { Target } from './target.ts';
import type { TaskType } from './task-type.ts';

/** One policy file, as read. */
export type PolicyFile = { readonly file: string; readonly text: string };

/** Everything that operators declared, checked as a whole. Immutable; a reload makes a new one. */
export type Catalogue = {
  /** SHA-256 (hex) over all files, names and contents. */
  readonly hash: string;
  readonly issuers: ReadonlyMap<string, Issuer>;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly taskTypes: ReadonlyMap<string, TaskType>;
  readonly scopes: ReadonlyMap<string, Scope>;
  readonly targets: ReadonlyMap<string, Target>;
  readonly operators: Operators;
  readonly limits: Limits;
  readonly policies: readonly PolicyFile[];
};

/** What is wrong in a catalogue file, so that the reader can go there and mend it. */
export type CatalogueProblem = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the field, or the policy id. */
  readonly field: string;
  readonly problem: string;
  readonly remedy: string;
};

/** The catalogue in force; `current` may change between two calls, never within one use case. */
export type CatalogueSource = { current(): Catalogue };
