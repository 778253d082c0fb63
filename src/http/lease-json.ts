import type { ListedLease } from '../broker/broker.ts';
import type { AuditEvent, Lease } from '../ledger/lease.ts';

/** A lease as REST shows it: snake case, RFC 3339 in UTC, no secret (the ledger holds none). */
export function leaseJson(lease: Lease) {
  return {
    id: lease.id,
    task_id: lease.taskId,
    agent: lease.agentId,
    owner: lease.owner,
    instance: lease.instance,
    issuer: lease.issuer,
    subject: lease.subject,
    scope: lease.scope,
    target: lease.snapshot.target,
    state: lease.state,
    revocability: lease.revocability,
    revocability_reason: lease.revocabilityReason,
    credential_name: lease.credentialName,
    decision_id: lease.decisionId,
    created_at: lease.createdAt.toISOString(),
    deadline: lease.deadline.toISOString(),
    activated_at: instant(lease.activatedAt),
    fenced_at: instant(lease.fencedAt),
    end_cause: lease.endCause,
    end_reason: lease.endReason,
    revoked_at: instant(lease.revokedAt),
    settled_at: instant(lease.settledAt),
    evidence: lease.evidence,
    residue: lease.residue,
    residue_since: instant(lease.residueSince),
    attempts: lease.attempts,
    next_attempt_at: instant(lease.nextAttemptAt),
    late_reason: lease.lateReason,
    replaces_lease_id: lease.replacesLeaseId,
  };
}

/** In a list: which of them look like one request that was sent again. */
export function listedLeaseJson(lease: ListedLease) {
  return { ...leaseJson(lease), repeat_of: lease.repeatOf };
}

/** What operators see besides: how the backend knows the lease, and how its mint went. */
export function leaseDetailJson(lease: Lease) {
  return {
    ...leaseJson(lease),
    mint: {
      outcome: lease.mintOutcome,
      deadline: lease.mintDeadline.toISOString(),
      ended_at: instant(lease.mintEndedAt),
    },
    backend: {
      lease_id: lease.backendLeaseId,
      ends_by: lease.backendEndsBy.toISOString(),
      mount: lease.snapshot.mount,
      config: lease.snapshot.config,
      role: lease.snapshot.role,
    },
    target_oid: lease.targetOid,
    proof: lease.snapshot.proof,
    catalogue_hash: lease.snapshot.catalogueHash,
  };
}

/** True once nobody can use the credential any more. */
export function isDead({ state }: Lease): boolean {
  return state === 'revoked' || state === 'settled' || state === 'abandoned';
}

export function eventJson(event: AuditEvent) {
  return {
    id: event.id,
    at: event.at.toISOString(),
    kind: event.kind,
    agent: event.agentId,
    task_id: event.taskId,
    lease_id: event.leaseId,
    body: JSON.parse(event.body) as unknown,
  };
}

function instant(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}
