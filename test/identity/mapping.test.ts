import { describe, expect, test } from '@jest/globals';
import { agentOf } from '../../src/identity/mapping/agent-of.ts';
import { readClaim, stringClaim } from '../../src/identity/mapping/claim.ts';
import { operatorOf } from '../../src/identity/mapping/operator-of.ts';
import type { VerifiedToken } from '../../src/identity/principal.ts';
import { OPERATORS, agent } from './support/catalogue.ts';
import { SUBJECT } from './support/tokens.ts';

function token(changes: Partial<VerifiedToken> = {}): VerifiedToken {
  const subject = changes.subject ?? SUBJECT;
  return {
    issuer: 'demo',
    use: 'workload',
    subject,
    expiresAt: new Date('2026-11-22T12:05:00Z'),
    sha256: '00',
    ...changes,
    claims: { sub: subject, ...changes.claims },
  };
}

function outcome(verified: VerifiedToken, ...agents: ReturnType<typeof agent>[]): string {
  const result = agentOf(verified, agents);
  return result.ok ? result.value.agent.id : result.failure.reason;
}

describe('mapping to an agent', () => {
  test('exactly one rule must match', () => {
    const other = agent('report-writer', { subject: 'spiffe://demo.example/agent/report-writer' });
    expect(outcome(token(), agent('one'), other)).toBe('one');
    expect(outcome(token())).toBe('unmapped_identity');
    expect(outcome(token(), other)).toBe('unmapped_identity');
    expect(outcome(token(), agent('one'), agent('two'))).toBe('ambiguous_identity');
  });

  test('the same subject from another issuer is somebody else', () => {
    expect(outcome(token({ issuer: 'people' }), agent('one'))).toBe('unmapped_identity');
  });

  test.each([
    ['spiffe://demo.example/agent/*', 'spiffe://demo.example/agent/a', true],
    ['spiffe://demo.example/agent/*', 'spiffe://demo.example/agent/a/b', true],
    ['spiffe://demo.example/agent/*', 'spiffe://demo.example/agent', false],
    ['spiffe://demo.example/agent/*', 'spiffe://demo.example/agents/a', false],
    ['spiffe://demo.example/agent/*', 'spiffe://demo.example/agent/', false],
    ['spiffe://demo.example/agent/*', 'spiffe://demo.example/agent/a/../b', false],
    ['spiffe://demo.example/*', 'spiffe://demo.example.evil/a', false],
    ['repo:org/*', 'repo:org/x', false],
    ['repo:org/*', 'repo:org/*', true],
    [SUBJECT, SUBJECT.toUpperCase(), false],
    [SUBJECT, `${SUBJECT}/x`, false],
    ['agent', 'аgent', false],
  ])('rule %p and subject %p', (rule, subject, matches) => {
    const expected = matches ? 'one' : 'unmapped_identity';
    expect(outcome(token({ subject }), agent('one', { subject: rule }))).toBe(expected);
  });

  test('every claim of the rule must be there with exactly that text', () => {
    const rule = agent('one', { claims: { repository_id: '42', environment: 'production' } });
    const claims = { repository_id: '42', environment: 'production', more: 1 };
    expect(outcome(token({ claims }), rule)).toBe('one');
    for (const wrong of [
      { ...claims, environment: 'Production' },
      { ...claims, environment: ['production'] },
      { ...claims, repository_id: 42 },
      { repository_id: '42' },
    ]) {
      expect(outcome(token({ claims: wrong }), rule)).toBe('unmapped_identity');
    }
  });

  test('rules that differ by a claim tell two agents with one subject apart', () => {
    const a = agent('a', { claims: { environment: 'staging' } });
    const b = agent('b', { claims: { environment: 'production' } });
    expect(outcome(token({ claims: { environment: 'production' } }), a, b)).toBe('b');
  });
});

describe('the running copy', () => {
  const podUid = agent('one', { instance_claim: '/kubernetes.io/pod/uid' });

  test('is the subject, or what the claim says', () => {
    expect(agentOf(token(), [agent('one')])).toMatchObject({ value: { instance: SUBJECT } });
    const claims = { 'kubernetes.io': { pod: { uid: 'pod-1' } } };
    expect(agentOf(token({ claims }), [podUid])).toMatchObject({ value: { instance: 'pod-1' } });
  });

  test.each([undefined, 7, '', 'pod\u0000', 'pöd', { uid: 'x' }])('%p is no name of one', (uid) => {
    expect(outcome(token({ claims: { 'kubernetes.io': { pod: { uid } } } }), podUid)).toBe(
      'subject_token_claims',
    );
  });
});

test('policies see the listed claims that are text, and no other', () => {
  const rule = agent('one', { policy_claims: ['team', 'age', 'absent', 'long', 'constructor'] });
  const claims = { team: 'finance', age: 7, secret: 'x', long: 'x'.repeat(1025) };
  expect(agentOf(token({ claims }), [rule])).toMatchObject({
    value: { policyClaims: { team: 'finance' } },
  });
  const result = agentOf(token({ claims }), [rule]);
  expect(result.ok && Object.keys(result.value.policyClaims)).toEqual(['team']);
});

describe('claims by name', () => {
  const claims = { a: 'x', '/b': 'never', b: { 'c/d': { e: 'y' }, '~': 'z' }, list: ['l'] };

  test.each([
    ['a', 'x'],
    ['/b/c~1d/e', 'y'],
    ['/b/~0', 'z'],
    ['/a/length', undefined],
    ['/list/0', undefined],
    ['toString', undefined],
    ['/b/__proto__', undefined],
    ['b', undefined],
    ['/', undefined],
  ])('%p', (name, expected) => {
    expect(stringClaim(claims, name)).toBe(expected);
  });

  test('of any type', () => {
    expect(readClaim(claims, 'list')).toEqual(['l']);
    expect(readClaim(claims, 'toString')).toBeUndefined();
  });
});

describe('operators', () => {
  const person = (claims: Record<string, unknown>, issuer = 'people') =>
    operatorOf(token({ issuer, use: 'operator', subject: 'u-1', claims }), OPERATORS);

  test('permissions of all bindings are collected', () => {
    const result = person({ groups: ['staff', 'on-call'] });
    expect(result).toMatchObject({ ok: true, value: { kind: 'operator', name: 'people|u-1' } });
    expect(result.ok && [...result.value.permissions].sort()).toEqual([
      'leases.read',
      'leases.revoke',
      'tasks.read',
    ]);
  });

  test('a claim may be a text too; on-call does not bring what staff may', () => {
    const result = person({ groups: 'on-call' });
    expect(result.ok && [...result.value.permissions]).toEqual(['leases.revoke']);
  });

  test.each([
    {},
    { groups: [] },
    { groups: 'Staff' },
    { groups: [['staff']] },
    { groups: 'staff,x' },
  ])('%p has no permission', (claims) => {
    expect(person(claims)).toMatchObject({ failure: { reason: 'permission_missing' } });
  });

  test('a binding to a role that is not declared gives nothing, whatever the role is called', () => {
    const bindings = [{ issuer: 'people', claim: 'groups', value: 'x', role: 'constructor' }];
    const verified = token({ issuer: 'people', use: 'operator', claims: { groups: 'x' } });
    expect(operatorOf(verified, { ...OPERATORS, bindings })).toMatchObject({
      failure: { reason: 'permission_missing' },
    });
  });

  test("another issuer's groups are worth nothing", () => {
    expect(person({ groups: ['staff'] }, 'demo')).toMatchObject({
      failure: { reason: 'permission_missing' },
    });
  });
});
