import { describe, expect, test } from '@jest/globals';
import type { DecisionRequest } from '../../src/policy/decision.ts';
import { engineOf, requestOf } from './request.ts';

const ALL = '@id("all") permit (principal, action, resource);';
/** Valid under the schema, and raises an error for every life above one second. */
const overflowing = (effect: string) => `@id("overflow") ${effect} (principal, action, resource)
when { context.ttl_seconds * 9223372036854775807 > 0 };`;

function outcomeOf(policy: string, more: Partial<DecisionRequest> = {}): string {
  return engineOf(policy).decide(requestOf(more)).outcome;
}

describe('a decision', () => {
  test('permits and names the policies that did, with their description', () => {
    const described = ALL.replace('permit', '@description("all may") permit');
    const other = '@id("a-second") permit (principal, action, resource);';
    expect(engineOf(described, other).decide(requestOf())).toEqual({
      outcome: 'permit',
      policyIds: ['a-second', 'all'],
      policySetHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      reasons: ['permitted by a-second', 'permitted by all: all may'],
    });
  });

  test('denies where no policy permits', () => {
    const other = '@id("other") permit (principal == Agent::"other", action, resource);';
    expect(engineOf(other).decide(requestOf())).toMatchObject({
      outcome: 'deny',
      policyIds: [],
      reasons: ['no policy permits it'],
    });
    expect(engineOf().decide(requestOf()).outcome).toBe('deny');
  });

  test('denies where one forbids, whatever else permits', () => {
    const forbid = '@id("no") @description("never") forbid (principal, action, resource);';
    expect(engineOf(ALL, forbid).decide(requestOf())).toMatchObject({
      outcome: 'deny',
      policyIds: ['no'],
      reasons: ['forbidden by no: never'],
    });
  });
});

describe('what errs denies', () => {
  test.each(['forbid', 'permit'])('a %s beside one that permits', (effect) => {
    expect(engineOf(ALL, overflowing(effect)).decide(requestOf())).toMatchObject({
      outcome: 'deny',
      policyIds: ['overflow'],
      reasons: ['policy overflow raised an error while it was evaluated, which denies the request'],
    });
  });

  test('and does not where it does not', () => {
    // One second does not overflow, and the condition holds: an ordinary forbid.
    const decision = engineOf(ALL, overflowing('forbid')).decide(requestOf({ ttlSeconds: 1 }));
    expect(decision.reasons).toEqual(['forbidden by overflow']);
  });

  test.each<[string, Partial<Record<keyof DecisionRequest, unknown>>]>([
    ['a life that is no whole number', { ttlSeconds: 1.5 }],
    ['a life that is no number', { ttlSeconds: Number.NaN }],
    ['a life beyond 64 bits', { ttlSeconds: 1e30 }],
    ['a missing count', { openLeases: undefined }],
    ['a missing task', { task: undefined }],
    ['a claim that is no text', { claims: { team: 7 } }],
    ['a task that is no list', { task: { actions: [1], locations: [] } }],
    ['a clock that is broken', { now: new Date(Number.NaN) }],
    ['an action that the schema does not know', { action: 'renew' }],
    ['an unknown level of risk', { scope: { ...requestOf().scope, risk: 'none' } }],
    ['an agent without an environment', { agent: { ...requestOf().agent, environment: null } }],
  ])('a request with %s', (_what, wrong) => {
    const request = { ...requestOf(), ...wrong } as DecisionRequest;
    expect(engineOf(ALL).decide(requestOf()).outcome).toBe('permit');
    expect(engineOf(ALL).decide(request)).toMatchObject({
      outcome: 'deny',
      policyIds: [],
      reasons: ['the request does not fit the policy schema, which denies it'],
    });
  });

  test('without repeating what a token said', () => {
    const text =
      '@id("x") forbid (principal, action, resource) when { context.ttl_seconds * 9223372036854775807 > 0 && context.claims.hasTag("team") };';
    const decision = engineOf(ALL, text).decide(requestOf({ claims: { team: 'canary-claim' } }));
    expect(JSON.stringify(decision)).not.toContain('canary');
  });
});

describe('policies can speak of', () => {
  const when = (condition: string) =>
    `@id("p") permit (principal, action == Action::"exchange", resource) when { ${condition} };`;

  test.each([
    'principal == Agent::"reader"',
    'principal in AgentGroup::"readers"',
    'principal.owner == "reading team" && principal.tier == "standard"',
    'principal.environment == "test" && principal.exposure == Exposure::"internal"',
    'resource == Scope::"books-read" && resource in ScopeGroup::"books"',
    'resource.risk == Risk::"low" && resource.sensitivity == Sensitivity::"internal"',
    'resource.revocability == Revocability::"proven" && resource.kind == "database"',
    'resource.target == "library" && resource.max_ttl_seconds == 600',
    'resource.actions == ["read"] && resource.locations.contains("https://db.example/books")',
    '!(resource has datatypes)',
    'context.task_type == TaskType::"look" && context.task_type.risk == Risk::"low"',
    'context.task_type.owner == "reading team" && context.task_type.max_ttl_seconds == 900',
    'context.actions.containsAll(["read"]) && !(context has datatypes)',
    'context.ttl_seconds == 300 && context.chain_depth == 0',
    'context.open_leases == 0 && context.recent_leases == 0',
    '!(context has person) && !context.approved && !(context has workflow)',
    'context.hour == 17 && context.weekday == 7',
    'context.now.toTime() >= duration("17h30m") && context.now < datetime("2026-11-23")',
  ])('%s', (condition) => {
    expect(outcomeOf(when(condition))).toBe('permit');
    expect(outcomeOf(when(`!(${condition})`))).toBe('deny');
  });

  test("claims that the agent's rule lets them see", () => {
    const policy = when(
      'context.claims.hasTag("repo") && context.claims.getTag("repo") == "acme/x"',
    );
    expect(outcomeOf(policy, { claims: { repo: 'acme/x' } })).toBe('permit');
    expect(outcomeOf(policy, { claims: { repo: 'acme/y' } })).toBe('deny');
    expect(outcomeOf(policy)).toBe('deny');
  });

  test('data types and the workflow, where there are any', () => {
    const policy = when(
      'context has datatypes && context.datatypes == ["books"] && context has workflow && context.workflow == "w"',
    );
    const task = { ...requestOf().task, datatypes: ['books'], workflow: 'w' };
    expect(outcomeOf(policy, { task })).toBe('permit');
    expect(outcomeOf(policy)).toBe('deny');
  });

  test.each([
    ['2026-11-22T23:59:59Z', 23, 7],
    ['2026-11-23T00:00:00Z', 0, 1],
    ['2026-11-28T12:00:00Z', 12, 6],
  ])('the hour and weekday of %s', (now, hour, weekday) => {
    const policy = when(`context.hour == ${hour} && context.weekday == ${weekday}`);
    expect(outcomeOf(policy, { now: new Date(now) })).toBe('permit');
  });
});

test('sets of two catalogues do not meet', () => {
  const [old, young] = [engineOf(ALL), engineOf(ALL.replace('permit', 'forbid'))];
  expect(old.decide(requestOf()).outcome).toBe('permit');
  expect(young.decide(requestOf()).outcome).toBe('deny');
  expect(old.decide(requestOf()).policySetHash).not.toBe(young.decide(requestOf()).policySetHash);
});

test('the hash of a set does not depend on its files or their order', () => {
  const other = '@id("other") forbid (principal, action, resource);';
  const [a, b] = [engineOf(ALL, other), engineOf(other, ALL)];
  expect(a.decide(requestOf()).policySetHash).toBe(b.decide(requestOf()).policySetHash);
});
