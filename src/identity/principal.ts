import type { Agent } from '../catalogue/agent.ts';
import type { Permission } from '../catalogue/operators.ts';

/** What a verified token said; nothing else of it is trusted. */
export type VerifiedToken = {
  /** The issuer's name in the catalogue. */
  readonly issuer: string;
  readonly use: 'workload' | 'operator';
  readonly subject: string;
  /** All claims, as verified; use only through the mapping rules. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly expiresAt: Date;
  /** SHA-256 (hex) of the token: the only trace of it that may be stored. */
  readonly sha256: string;
};

/** A workload that exactly one registered agent matched. */
export type AgentCaller = {
  readonly kind: 'agent';
  readonly agent: Agent;
  /** The running copy. */
  readonly instance: string;
  readonly token: VerifiedToken;
  /** The claims that the agent's rule lets policies see. */
  readonly policyClaims: Readonly<Record<string, string>>;
};

export type OperatorCaller = {
  readonly kind: 'operator';
  /** `<issuer>|<subject>`, as recorded in audit events. */
  readonly name: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly token: VerifiedToken;
};

export type Caller = AgentCaller | OperatorCaller;
