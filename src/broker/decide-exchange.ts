import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { AgentCaller } from '../identity/principal.ts';
import type { ExchangeFacts } from '../ledger/ledger.ts';
import type { Decision, PolicyEngine } from '../policy/decision.ts';
import type { Ask } from './ask.ts';
import { planExchange } from './plan-exchange.ts';
import type { ExchangePlan } from './plan-exchange.ts';
import { withoutReplaced } from './repeated-request.ts';
import type { RequestIdentity } from './repeated-request.ts';

/** An exchange whose caller is known and whose ask lies within what was declared. */
export type Asked = {
  readonly engine: PolicyEngine;
  readonly caller: AgentCaller;
  readonly ask: Ask;
  /** Seconds of life wanted for this lease; null: as long as allowed. */
  readonly wantedSeconds: number | null;
  readonly identity: RequestIdentity;
  readonly catalogueHash: string;
};

export type Permit = { readonly plan: ExchangePlan; readonly decision: Decision };

/** A refusal, with the policy's decision where it was that. */
export type Refusal = { readonly failure: Failure; readonly decision?: Decision };

/**
 * The whole decision about an exchange, from what the ledger holds under the agent's lock: state,
 * caps and life in code, then the policy. Pure.
 */
export function decideExchange(asked: Asked, found: ExchangeFacts): Result<Permit, Refusal> {
  const { caller, ask, wantedSeconds, identity } = asked;
  const counted = withoutReplaced(found, identity.requestSha256);
  if (!counted.ok) return fail({ failure: counted.failure });
  const facts = counted.value;
  const plan = planExchange(caller.agent, ask, wantedSeconds, facts);
  if (!plan.ok) return fail({ failure: plan.failure });
  const decision = askPolicy(asked, plan.value, facts);
  return decision.outcome === 'deny'
    ? fail({ failure: policyDenied(decision), decision })
    : succeed({ plan: plan.value, decision });
}

function askPolicy(
  { engine, caller, ask }: Asked,
  plan: ExchangePlan,
  facts: ExchangeFacts,
): Decision {
  return engine.decide({
    action: 'exchange',
    agent: caller.agent,
    scope: ask.scope,
    taskType: ask.taskType,
    task: {
      actions: ask.task.actions,
      locations: ask.task.locations,
      datatypes: ask.task.datatypes,
      ...(ask.task.workflow === null ? {} : { workflow: ask.task.workflow }),
    },
    ttlSeconds: plan.ttlSeconds,
    openLeases: facts.openLeases,
    recentLeases: facts.recentLeases,
    chainDepth: 0,
    claims: caller.policyClaims,
    now: facts.now,
  });
}

function policyDenied(decision: Decision): Failure {
  const by = decision.policyIds.length > 0 ? ` by ${decision.policyIds.join(', ')}` : '';
  return failure('policy_denied', `denied${by}: ${decision.reasons.join('; ')}`, {
    policyIds: decision.policyIds,
  });
}
