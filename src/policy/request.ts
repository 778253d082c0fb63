import type { Context, Entities, EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { DecisionRequest } from './decision.ts';

/** A decision's question in Cedar's words. */
export type CedarRequest = {
  readonly principal: Uid;
  readonly action: Uid;
  readonly resource: Uid;
  readonly context: Context;
  readonly entities: Entities;
};

type Uid = { type: string; id: string };

/** There is one set of claims a decision; its id says nothing. */
const CLAIMS: Uid = { type: 'Claims', id: 'token' };

/**
 * Puts a request into the words of the schema. Only the entities of this request are passed, since
 * the cost of a decision grows with them.
 */
export function cedarRequest(request: DecisionRequest): CedarRequest {
  const principal = { type: 'Agent', id: request.agent.id };
  const resource = { type: 'Scope', id: request.scope.name };
  return {
    principal,
    action: { type: 'Action', id: request.action },
    resource,
    context: contextOf(request),
    entities: [
      agentEntity(principal, request),
      scopeEntity(resource, request),
      taskTypeEntity(request),
      { uid: CLAIMS, attrs: {}, parents: [], tags: { ...request.claims } },
    ],
  };
}

function contextOf(request: DecisionRequest): Context {
  const { task, now } = request;
  return {
    task_type: reference('TaskType', request.taskType.name),
    ...reach(task),
    ...(task.workflow === undefined ? {} : { workflow: task.workflow }),
    ttl_seconds: request.ttlSeconds,
    open_leases: request.openLeases,
    recent_leases: request.recentLeases,
    chain_depth: request.chainDepth,
    claims: { __entity: CLAIMS },
    // Nobody can approve yet, so nothing is approved.
    approved: false,
    now: { __extn: { fn: 'datetime', arg: now.toISOString() } },
    hour: now.getUTCHours(),
    weekday: ((now.getUTCDay() + 6) % 7) + 1,
  };
}

function agentEntity(uid: Uid, { agent }: DecisionRequest): EntityJson {
  return {
    uid,
    attrs: {
      owner: agent.owner,
      environment: agent.environment,
      exposure: reference('Exposure', agent.exposure),
      tier: agent.tier,
    },
    parents: groups('AgentGroup', agent.groups),
  };
}

function scopeEntity(uid: Uid, { scope }: DecisionRequest): EntityJson {
  return {
    uid,
    attrs: {
      owner: scope.owner,
      kind: scope.kind,
      target: scope.target,
      ...reach(scope.grants),
      max_ttl_seconds: scope.max_ttl_seconds,
      risk: reference('Risk', scope.risk),
      sensitivity: reference('Sensitivity', scope.sensitivity),
      revocability: reference('Revocability', scope.revocability),
    },
    parents: groups('ScopeGroup', scope.groups),
  };
}

function taskTypeEntity({ taskType }: DecisionRequest): EntityJson {
  return {
    uid: { type: 'TaskType', id: taskType.name },
    attrs: {
      owner: taskType.owner,
      risk: reference('Risk', taskType.risk),
      max_ttl_seconds: taskType.max_ttl_seconds,
    },
    parents: [],
  };
}

function reach(from: DecisionRequest['task']) {
  return {
    actions: [...from.actions],
    locations: [...from.locations],
    ...(from.datatypes === undefined ? {} : { datatypes: [...from.datatypes] }),
  };
}

function reference(type: string, id: string): { __entity: Uid } {
  return { __entity: { type, id } };
}

function groups(type: string, names: readonly string[] | undefined): Uid[] {
  return (names ?? []).map((id) => ({ type, id }));
}
