import type { AuthorizationAnswer } from '@cedar-policy/cedar-wasm/nodejs';
import { cedar } from './cedar.ts';
import type { Decision, DecisionRequest, PolicyEngine } from './decision.ts';
import type { Policy } from './policy-set.ts';
import { cedarRequest } from './request.ts';

export type PreparedPolicies = {
  /** The id under which Cedar keeps the set: its hash. */
  readonly policySet: string;
  readonly schema: string;
  readonly policies: readonly Policy[];
};

/**
 * Decides by a prepared policy set. Fails closed: a request that does not fit the schema, and any
 * policy that raises an error, deny. Cedar itself would pass over a `forbid` that errs, which can
 * turn a denial into a permit.
 */
export function createEngine(prepared: PreparedPolicies): PolicyEngine {
  const descriptions = new Map(prepared.policies.map(({ id, description }) => [id, description]));
  const conclude = (outcome: Decision['outcome'], ids: readonly string[], reasons: string[]) => ({
    outcome,
    policyIds: [...ids].sort(),
    policySetHash: prepared.policySet,
    reasons,
  });
  return {
    decide: (request) => {
      const answer = ask(prepared, request);
      if (answer === 'unaskable') return conclude('deny', [], [UNASKABLE]);
      const { decision, diagnostics } = answer;
      const failed = diagnostics.errors.map((error) => error.policyId);
      if (failed.length > 0) return conclude('deny', failed, [...failed].sort().map(erred));
      const ids = diagnostics.reason;
      if (decision === 'allow')
        return conclude('permit', ids, worded('permitted', ids, descriptions));
      if (ids.length === 0) return conclude('deny', [], [NOBODY]);
      return conclude('deny', ids, worded('forbidden', ids, descriptions));
    },
  };
}

const NOBODY = 'no policy permits it';
const UNASKABLE = 'the request does not fit the policy schema, which denies it';

/** Cedar's own message may repeat a claim of a token, so it goes nowhere. */
function erred(id: string): string {
  return `policy ${id} raised an error while it was evaluated, which denies the request`;
}

function worded(
  verb: string,
  ids: readonly string[],
  descriptions: ReadonlyMap<string, string | undefined>,
): string[] {
  return [...ids].sort().map((id) => {
    const description = descriptions.get(id);
    return description === undefined ? `${verb} by ${id}` : `${verb} by ${id}: ${description}`;
  });
}

type Response = Extract<AuthorizationAnswer, { type: 'success' }>['response'];

function ask(prepared: PreparedPolicies, request: DecisionRequest): Response | 'unaskable' {
  try {
    const answer = cedar.statefulIsAuthorized({
      ...cedarRequest(request),
      preparsedPolicySetId: prepared.policySet,
      preparsedSchemaName: prepared.schema,
      validateRequest: true,
    });
    return answer.type === 'success' ? answer.response : 'unaskable';
  } catch {
    // Arguments of a wrong shape throw; nothing in the message is for the caller.
    return 'unaskable';
  }
}
