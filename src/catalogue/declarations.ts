import type { Agent } from './agent.ts';
import type { Declared, DeclaredKind } from './declared.ts';
import type { Issuer } from './issuer.ts';
import type { Operators } from './operators.ts';
import type { Scope } from './scope.ts';
import type { Target } from './target.ts';
import type { TaskType } from './task-type.ts';

/** All entries that fit their definitions, before they are compared with each other. */
export type Declarations = {
  readonly issuers: DeclaredKind<Issuer>;
  readonly agents: DeclaredKind<Agent>;
  readonly taskTypes: DeclaredKind<TaskType>;
  readonly scopes: DeclaredKind<Scope>;
  readonly targets: DeclaredKind<Target>;
  /** Absent where the file is missing or broken. */
  readonly operators?: Declared<Operators>;
};
