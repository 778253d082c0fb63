import type { Agent } from '../../catalogue/agent.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { AgentCaller, VerifiedToken } from '../principal.ts';
import { parseSpiffeId } from '../token/spiffe-id.ts';
import { stringClaim } from './claim.ts';

/** Characters of the name of a running copy; visible ASCII, since it is stored and shown. */
const INSTANCE = /^[\x21-\x7e](?:[\x20-\x7e]{0,2046}[\x21-\x7e])?$/;

/** Characters of a claim that policies see: it is copied into every decision. */
const POLICY_CLAIM_LENGTH_MAX = 1024;

/**
 * Maps a verified token to the one agent whose rule it satisfies. No rule: `unmapped_identity`; two
 * rules: `ambiguous_identity`, since to guess would be to hand one agent's rights to another.
 */
export function agentOf(
  token: VerifiedToken,
  agents: Iterable<Agent>,
): Result<AgentCaller, Failure> {
  const matches = [...agents].filter((agent) => matchesRule(token, agent.identity));
  const [agent, second] = matches;
  if (!agent) {
    return fail(
      failure(
        'unmapped_identity',
        "the token is genuine, but no agent's identity rule matches its subject and claims: " +
          'register the agent, or mend its rule',
      ),
    );
  }
  if (second) {
    return fail(
      failure(
        'ambiguous_identity',
        "the identity rules of several agents match this token: make the agents' rules disjoint",
      ),
    );
  }
  return callerOf(token, agent);
}

function matchesRule(token: VerifiedToken, rule: Agent['identity']): boolean {
  if (rule.issuer !== token.issuer || !matchesSubject(token.subject, rule.subject)) return false;
  return Object.entries(rule.claims ?? {}).every(
    ([name, text]) => stringClaim(token.claims, name) === text,
  );
}

/** Exact code units, or below a SPIFFE prefix at a segment's boundary. Nothing is normalised. */
function matchesSubject(subject: string, rule: string): boolean {
  if (!rule.startsWith('spiffe://') || !rule.endsWith('/*')) return subject === rule;
  return subject.startsWith(rule.slice(0, -1)) && parseSpiffeId(subject) !== undefined;
}

function callerOf(token: VerifiedToken, agent: Agent): Result<AgentCaller, Failure> {
  const { instance_claim: instanceClaim } = agent.identity;
  const instance =
    instanceClaim === undefined ? token.subject : stringClaim(token.claims, instanceClaim);
  if (instance === undefined || !INSTANCE.test(instance)) {
    return fail(
      failure(
        'subject_token_claims',
        `the token must have the claim ${instanceClaim} (printable ASCII text), by which ` +
          'running copies of this agent are told apart',
        { field: instanceClaim ?? 'sub' },
      ),
    );
  }
  return succeed({
    kind: 'agent',
    agent,
    instance,
    token,
    policyClaims: policyClaimsOf(token, agent.identity.policy_claims ?? []),
  });
}

/** Claims that are absent, not text, or too long stay out: a policy that needs them then denies. */
function policyClaimsOf(
  token: VerifiedToken,
  names: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const text = stringClaim(token.claims, name);
      return text === undefined || text.length > POLICY_CLAIM_LENGTH_MAX ? [] : [[name, text]];
    }),
  );
}
