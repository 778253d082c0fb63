import type { Agent } from '../catalogue/agent.ts';
import type { Scope } from '../catalogue/scope.ts';
import type { TaskType } from '../catalogue/task-type.ts';
import type { Reach } from '../catalogue/subset.ts';

/** All that a decision may depend on. The task's free-text purpose is not part of it. */
export type DecisionRequest = {
  readonly action: 'exchange';
  readonly agent: Agent;
  readonly scope: Scope;
  readonly taskType: TaskType;
  readonly task: Reach & { readonly workflow?: string };
  /** Seconds of life that would be granted. */
  readonly ttlSeconds: number;
  readonly openLeases: number;
  /** Leases opened within the last 60 seconds. */
  readonly recentLeases: number;
  /** Length of the delegation chain; 0 for an agent on its own behalf. */
  readonly chainDepth: number;
  readonly claims: Readonly<Record<string, string>>;
  readonly now: Date;
};

/** The policy's answer as a value. Anything that errors is a denial. */
export type Decision = {
  readonly outcome: 'permit' | 'deny';
  /** Ids (`@id`) of the policies that determined the outcome; empty where none permitted. */
  readonly policyIds: readonly string[];
  /** SHA-256 (hex) of the policy set. */
  readonly policySetHash: string;
  /** For people: why, in words; without token contents. */
  readonly reasons: readonly string[];
};

export type PolicyEngine = {
  /** Never throws: what errors denies. */
  decide(request: DecisionRequest): Decision;
};
