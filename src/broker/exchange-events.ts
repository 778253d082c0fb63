import type { Failure } from '../foundation/failure.ts';
import type { Json } from '../foundation/canonical-json.ts';
import type { AgentCaller } from '../identity/principal.ts';
import type { NewAuditEvent } from '../ledger/lease.ts';
import type { Decision } from '../policy/decision.ts';
import type { Ask } from './ask.ts';
import type { ExchangePlan } from './plan-exchange.ts';

/** What an audit event says of the caller: who, which copy, by which token (its hash only). */
function callerFacts(caller: AgentCaller): { readonly [key: string]: Json } {
  return {
    agent: caller.agent.id,
    owner: caller.agent.owner,
    instance: caller.instance,
    issuer: caller.token.issuer,
    subject: caller.token.subject,
    subject_token_sha256: caller.token.sha256,
  };
}

function askFacts(ask: Ask): { readonly [key: string]: Json | undefined } {
  return {
    scope: ask.scope.name,
    target: ask.target.name,
    task_type: ask.taskType.name,
    identifier: ask.task.identifier,
    actions: ask.task.actions,
    locations: ask.task.locations,
    datatypes: ask.task.datatypes,
    workflow: ask.task.workflow,
  };
}

function decisionFacts(decision: Decision): { readonly [key: string]: Json } {
  return {
    decision: decision.outcome,
    policies: decision.policyIds,
    policy_set: decision.policySetHash,
    reasons: decision.reasons,
  };
}

/** The one event of a permitted exchange; it stands in the transaction that opens the lease. */
export function permitEvent(
  id: string,
  leaseId: string,
  taskId: string,
  facts: {
    readonly caller: AgentCaller;
    readonly ask: Ask;
    readonly plan: ExchangePlan;
    readonly decision: Decision;
    readonly catalogueHash: string;
    readonly credentialName: string;
    readonly replacesLeaseId: string | undefined;
  },
): NewAuditEvent {
  return {
    id,
    kind: 'decision.permitted',
    agentId: facts.caller.agent.id,
    taskId,
    leaseId,
    body: {
      ...callerFacts(facts.caller),
      ...askFacts(facts.ask),
      ...decisionFacts(facts.decision),
      ttl_seconds: facts.plan.ttlSeconds,
      deadline: facts.plan.deadline.toISOString(),
      credential_name: facts.credentialName,
      replaces_lease_id: facts.replacesLeaseId,
      catalogue: facts.catalogueHash,
    },
  };
}

/** The one event of a refused exchange of a known agent. */
export function denialEvent(
  id: string,
  caller: AgentCaller,
  refusal: Failure,
  known: {
    readonly ask?: Ask | undefined;
    readonly decision?: Decision | undefined;
    readonly scope?: string | undefined;
    readonly catalogueHash: string;
  },
): NewAuditEvent {
  return {
    id,
    kind: 'decision.denied',
    agentId: caller.agent.id,
    taskId: null,
    leaseId: null,
    body: {
      ...callerFacts(caller),
      ...(known.ask ? askFacts(known.ask) : {}),
      ...(known.decision ? decisionFacts(known.decision) : { decision: 'deny' }),
      reason: refusal.reason,
      field: refusal.field,
      catalogue: known.catalogueHash,
    },
  };
}
