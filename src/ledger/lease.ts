import type { Json } from '../foundation/canonical-json.ts';
import type { LeaseState } from './lease-states.ts';

/** Why a lease was ended. */
export const END_CAUSES = [
  'completed',
  'deadline',
  'operator',
  'revoked_by_holder',
  'mint_unknown',
  'mint_lost',
  'answer_lost',
  'task_timeout',
  /** The agent was quarantined. */
  'quarantine',
  /** An operator ended all leases that match a selector. */
  'revocation',
  /** The catalogue no longer holds its agent, scope or task type. */
  'catalogue',
  /** The policies no longer permit it. */
  'policy',
  /** A retry with the same Idempotency-Key was given a new lease in its place. */
  'superseded',
  /** The backend knows nothing of it any more, though its life is not over. */
  'backend_lost',
] as const;
export type EndCause = (typeof END_CAUSES)[number];

export const REVOCABILITIES = ['proven', 'revocable', 'expiry', 'static'] as const;
export type Revocability = (typeof REVOCABILITIES)[number];

/** All that ending a lease needs, kept with it: ending never depends on the catalogue of the day. */
export type LeaseSnapshot = {
  readonly target: string;
  readonly kind: 'postgres';
  readonly mount: string;
  readonly config: string;
  readonly role: string;
  readonly tokenRole: string;
  readonly proof: 'target' | 'backend';
  readonly catalogueHash: string;
};

/** One minted credential and its life. Instants are the ledger's clock. */
export type Lease = {
  readonly id: string;
  readonly taskId: string;
  readonly agentId: string;
  readonly owner: string;
  readonly instance: string;
  readonly issuer: string;
  readonly subject: string;
  readonly scope: string;
  readonly state: LeaseState;
  readonly revocability: Revocability;
  /** Why `revocability` is lower than the scope declares; null where it is not. */
  readonly revocabilityReason: string | null;
  /** The name that the credential has, or would have, at the target. */
  readonly credentialName: string;
  readonly decisionId: string;
  readonly createdAt: Date;
  readonly deadline: Date;
  readonly mintDeadline: Date;
  readonly activatedAt: Date | null;
  readonly mintEndedAt: Date | null;
  readonly mintOutcome: 'minted' | 'refused' | 'unsent' | 'unknown' | null;
  readonly backendLeaseId: string | null;
  /** When OpenBao ends its lease by itself at the latest: the batch token's end. */
  readonly backendEndsBy: Date;
  readonly fencedAt: Date | null;
  readonly endCause: EndCause | null;
  readonly endReason: string | null;
  readonly revokedAt: Date | null;
  readonly settledAt: Date | null;
  /** The oid that the guard saw, committed before the end: the positive control. */
  readonly targetOid: number | null;
  readonly evidence: Json | null;
  readonly residue: string | null;
  readonly residueSince: Date | null;
  readonly claimOwner: string | null;
  readonly claimUntil: Date | null;
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
  /** Why the last attempt to end or settle it failed. Contains no secret. */
  readonly lateReason: string | null;
  /** The lease of an earlier exchange with the same Idempotency-Key, which this one replaces. */
  readonly replacesLeaseId: string | null;
  readonly snapshot: LeaseSnapshot;
};

/** One run of a task type that an agent declared. */
export type Task = {
  readonly id: string;
  readonly agentId: string;
  readonly owner: string;
  readonly taskType: string;
  readonly identifier: string;
  readonly purpose: string | null;
  readonly workflow: string | null;
  readonly actions: readonly string[];
  readonly locations: readonly string[];
  readonly datatypes: readonly string[] | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly delegation: { readonly maxDepth: number; readonly maxChildren: number } | null;
  readonly openedByInstance: string;
  readonly openedAt: Date;
  /** The end of the task's life; a task past it is ended, whether or not `endedAt` says so yet. */
  readonly deadline: Date;
  readonly endedAt: Date | null;
  readonly endCause: 'completed' | 'timeout' | 'revoked' | null;
  readonly outcome: 'succeeded' | 'failed' | 'cancelled' | null;
  readonly note: string | null;
};

/** An entry of the audit record. `body` is canonical JSON and is never changed. */
export type AuditEvent = {
  readonly id: string;
  readonly at: Date;
  readonly kind: string;
  readonly agentId: string | null;
  readonly taskId: string | null;
  readonly leaseId: string | null;
  readonly body: string;
};

/** An event about to be written; `at` is the ledger's clock at the commit's transaction. */
export type NewAuditEvent = {
  readonly id: string;
  readonly kind: string;
  readonly agentId: string | null;
  readonly taskId: string | null;
  readonly leaseId: string | null;
  readonly body: { readonly [key: string]: Json | undefined };
};
