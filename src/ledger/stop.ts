import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { EndCause } from './lease.ts';

/** Members by which leases can be selected. */
export const SELECTOR_MEMBERS = [
  'agentId',
  'instance',
  'taskType',
  'workflow',
  'scope',
  'issuer',
] as const;
export type SelectorMember = (typeof SELECTOR_MEMBERS)[number];

/** Selects the leases that match every member that is not null; one of none selects nothing. */
export type Selector = { readonly [member in SelectorMember]: string | null };

export const SELECTS_NOTHING: Selector = {
  agentId: null,
  instance: null,
  taskType: null,
  workflow: null,
  scope: null,
  issuer: null,
};

/** True where every given member matches, and one is given. Pure; SQL has the same in `stop_selects`. */
export function selects(selector: Selector, lease: Selector): boolean {
  const given = SELECTOR_MEMBERS.filter((member) => selector[member] !== null);
  return given.length > 0 && given.every((member) => selector[member] === lease[member]);
}

/** An agent is stopped: no new lease, and every live one is ended. */
export type Quarantine = {
  readonly since: Date;
  /** The operator's name, or `mayfly`. */
  readonly by: string;
  readonly reason: string;
};

export type QuarantineAgent = {
  readonly agentId: string;
  readonly by: string;
  readonly reason: string;
};

/** An agent as the ledger knows it: since its first exchange, or its quarantine. */
export type AgentRecord = {
  readonly id: string;
  readonly firstSeenAt: Date;
  readonly quarantine: Quarantine | null;
  readonly live: {
    readonly minting: number;
    readonly active: number;
    readonly revoking: number;
  };
};

/** A revocation that is under way: it lives until all that it selects is fenced. */
export type Stop = {
  readonly id: string;
  readonly selector: Selector;
  readonly reason: string;
  readonly by: string;
};

export type FenceSelected = {
  readonly selector: Selector;
  readonly cause: EndCause;
  readonly reason: string;
  readonly by: string;
  /** True where the caller ends them now: this replica claims them. */
  readonly claim: boolean;
};

/** What a catalogue declares; what is not in it is ended. Agents that have ended are left out. */
export type Declared = {
  readonly agents: readonly string[];
  readonly scopes: readonly string[];
  readonly taskTypes: readonly string[];
};

/** How the checks of one kind went, on whichever replica. Instants are the ledger's clock. */
export type SelfCheck = {
  readonly now: Date;
  readonly begunAt: Date;
  readonly succeededAt: Date | null;
  readonly failedAt: Date | null;
  /** What did not hold when it last failed. */
  readonly failure: string | null;
};

/** Live leases that a selector selects. */
export type SelectedLeases = {
  /** In `minting` or `active`: nothing ends them yet. */
  readonly open: number;
  /** In `revoking`: not dead yet. */
  readonly dying: number;
};

export const AGENT_QUARANTINED: Failure = failure(
  'agent_quarantined',
  'the agent is quarantined; an operator may release it',
);

/** Seconds: a stop lives for as long as the exchanges that were under way when it came. */
const STOP_RETRY_SECONDS = 1;

export const REVOCATION_UNDER_WAY: Failure = failure(
  'revocation_under_way',
  'leases like this one are being revoked at this moment; ask again',
  { retryAfterSeconds: STOP_RETRY_SECONDS },
);
