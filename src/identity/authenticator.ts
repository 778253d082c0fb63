import type { Failure } from '../foundation/failure.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { AgentCaller, OperatorCaller } from './principal.ts';

/** Who is asking? Both calls fail closed; neither repeats a part of the token in its failure. */
export type Authenticator = {
  /** Verifies a workload token and maps it to exactly one agent. */
  agent(token: SecretText): Promise<Result<AgentCaller, Failure>>;
  /** Verifies an operator's bearer token and collects the permissions of its bindings. */
  operator(token: SecretText): Promise<Result<OperatorCaller, Failure>>;
};
