import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { Json } from '../../foundation/canonical-json.ts';
import type { EndCause, Lease, LeaseSnapshot, Revocability } from '../lease.ts';
import type { LeaseState } from '../lease-states.ts';

/** A lease as the table holds it. */
export type LeaseRow = {
  readonly id: string;
  readonly task_id: string;
  readonly agent_id: string;
  readonly owner: string;
  readonly instance: string;
  readonly issuer: string;
  readonly subject: string;
  readonly scope: string;
  readonly state: LeaseState;
  readonly revocability: Revocability;
  readonly revocability_reason: string | null;
  readonly credential_name: string;
  readonly decision_id: string;
  readonly created_at: Date;
  readonly deadline: Date;
  readonly mint_deadline: Date;
  readonly activated_at: Date | null;
  readonly mint_ended_at: Date | null;
  readonly mint_outcome: Lease['mintOutcome'];
  readonly backend_lease_id: string | null;
  readonly backend_ends_by: Date;
  readonly fenced_at: Date | null;
  readonly end_cause: EndCause | null;
  readonly end_reason: string | null;
  readonly revoked_at: Date | null;
  readonly settled_at: Date | null;
  /** An oid is unsigned; as bigint it arrives as text. */
  readonly target_oid: string | null;
  readonly evidence: Json | null;
  readonly residue: string | null;
  readonly residue_since: Date | null;
  readonly claim_owner: string | null;
  readonly claim_until: Date | null;
  readonly attempts: number;
  readonly next_attempt_at: Date | null;
  readonly late_reason: string | null;
  readonly replaces_lease_id: string | null;
  readonly snapshot: LeaseSnapshot;
};

/**
 * Every column by name, never `*`: a prepared statement whose result type changes is refused, and a
 * newer broker may add columns while this one runs.
 */
export const LEASE_COLUMNS = [
  'id',
  'task_id',
  'agent_id',
  'owner',
  'instance',
  'issuer',
  'subject',
  'scope',
  'state',
  'revocability',
  'revocability_reason',
  'credential_name',
  'decision_id',
  'created_at',
  'deadline',
  'mint_deadline',
  'activated_at',
  'mint_ended_at',
  'mint_outcome',
  'backend_lease_id',
  'backend_ends_by',
  'fenced_at',
  'end_cause',
  'end_reason',
  'revoked_at',
  'settled_at',
  'target_oid',
  'evidence',
  'residue',
  'residue_since',
  'claim_owner',
  'claim_until',
  'attempts',
  'next_attempt_at',
  'late_reason',
  'replaces_lease_id',
  'snapshot',
] as const satisfies readonly (keyof LeaseRow)[];

/** `l.id, l.task_id, ...` for the table or common table expression that is called `of`. */
export function leaseColumns(of: string): RawBuilder<unknown> {
  return sql.raw(LEASE_COLUMNS.map((column) => `${of}.${column}`).join(', '));
}

/** `(e.lease).id as id, ...` of a composite value. */
export function leaseColumnsOf(composite: string): RawBuilder<unknown> {
  return sql.raw(LEASE_COLUMNS.map((column) => `(${composite}).${column} as ${column}`).join(', '));
}

export function leaseFromRow(row: LeaseRow): Lease {
  return {
    id: row.id,
    taskId: row.task_id,
    agentId: row.agent_id,
    owner: row.owner,
    instance: row.instance,
    issuer: row.issuer,
    subject: row.subject,
    scope: row.scope,
    state: row.state,
    revocability: row.revocability,
    revocabilityReason: row.revocability_reason,
    credentialName: row.credential_name,
    decisionId: row.decision_id,
    createdAt: row.created_at,
    deadline: row.deadline,
    mintDeadline: row.mint_deadline,
    activatedAt: row.activated_at,
    mintEndedAt: row.mint_ended_at,
    mintOutcome: row.mint_outcome,
    backendLeaseId: row.backend_lease_id,
    backendEndsBy: row.backend_ends_by,
    fencedAt: row.fenced_at,
    endCause: row.end_cause,
    endReason: row.end_reason,
    revokedAt: row.revoked_at,
    settledAt: row.settled_at,
    targetOid: row.target_oid === null ? null : Number(row.target_oid),
    evidence: row.evidence,
    residue: row.residue,
    residueSince: row.residue_since,
    claimOwner: row.claim_owner,
    claimUntil: row.claim_until,
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at,
    lateReason: row.late_reason,
    replacesLeaseId: row.replaces_lease_id,
    snapshot: row.snapshot,
  };
}
