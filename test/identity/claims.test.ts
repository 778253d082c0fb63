import { describe, expect, test } from '@jest/globals';
import type { Issuer } from '../../src/catalogue/issuer.ts';
import type { Failure } from '../../src/foundation/failure.ts';
import type { Result } from '../../src/foundation/result.ts';
import {
  checkAudience,
  checkSubject,
  checkTimes,
  refuseDelegated,
} from '../../src/identity/token/claims.ts';
import { oidc, spiffe } from './support/catalogue.ts';

const NOW = 1_795_348_800;

function reason(result: Result<unknown, Failure>): string | undefined {
  return result.ok ? undefined : result.failure.reason;
}

function times(claims: object, leewaySeconds = 5, maxLifeSeconds?: number): string | undefined {
  return reason(
    checkTimes(claims as Record<string, unknown>, {
      nowMs: NOW * 1000,
      leewaySeconds,
      maxLifeSeconds,
    }),
  );
}

describe('times', () => {
  test.each([
    // Seconds from now to exp, leeway, what comes of it.
    [300, 5, undefined],
    [0, 5, undefined],
    [-4, 5, undefined],
    [-5, 5, 'subject_token_expired'],
    [0, 0, 'subject_token_expired'],
    [-29, 30, undefined],
    [-60, 30, 'subject_token_expired'],
    [-300, 30, 'subject_token_expired'],
  ])('exp %d s from now with a leeway of %d s', (ahead, leeway, expected) => {
    expect(times({ exp: NOW + ahead }, leeway)).toBe(expected);
  });

  test.each([
    [5, 5, undefined],
    [6, 5, 'subject_token_not_yet_valid'],
    [60, 5, 'subject_token_not_yet_valid'],
    [60, 30, 'subject_token_not_yet_valid'],
    [300, 30, 'subject_token_not_yet_valid'],
    [-300, 0, undefined],
  ])('nbf or iat %d s from now with a leeway of %d s', (ahead, leeway, expected) => {
    expect(times({ exp: NOW + 600, nbf: NOW + ahead }, leeway)).toBe(expected);
    expect(times({ exp: NOW + 600, iat: NOW + ahead }, leeway)).toBe(expected);
  });

  test.each([undefined, null, '1795349100', NaN, Infinity, -1, NOW * 1000, [NOW + 300], true])(
    'exp %p is no instant',
    (exp) => {
      expect(times({ exp })).toBe('subject_token_claims');
    },
  );

  test.each(['soon', null, NOW * 1000])('nbf or iat %p is no instant', (instant) => {
    expect(times({ exp: NOW + 300, nbf: instant })).toBe('subject_token_claims');
    expect(times({ exp: NOW + 300, iat: instant })).toBe('subject_token_claims');
  });

  test('fractions of a second are read', () => {
    expect(times({ exp: NOW + 0.5 }, 0)).toBeUndefined();
    expect(times({ exp: NOW - 0.5 }, 0)).toBe('subject_token_expired');
  });

  test('a token that ends before it was issued is refused', () => {
    expect(times({ exp: NOW + 1, iat: NOW + 2 })).toBe('subject_token_claims');
  });

  test('the longest life counts from iat, or from now where there is none', () => {
    expect(times({ exp: NOW + 300, iat: NOW }, 5, 300)).toBeUndefined();
    expect(times({ exp: NOW + 301, iat: NOW }, 5, 300)).toBe('subject_token_claims');
    expect(times({ exp: NOW + 10, iat: NOW - 300 }, 5, 300)).toBe('subject_token_claims');
    expect(times({ exp: NOW + 305 }, 5, 300)).toBeUndefined();
    expect(times({ exp: NOW + 306 }, 5, 300)).toBe('subject_token_claims');
  });

  test('the instant handed on is exp itself, without leeway', () => {
    const result = checkTimes({ exp: NOW - 3 }, { nowMs: NOW * 1000, leewaySeconds: 5 });
    expect(result).toEqual({ ok: true, value: new Date('2026-11-22T11:59:57Z') });
  });
});

describe('audience', () => {
  const OURS = 'https://mayfly.example';
  test.each([[OURS], [[OURS]]])('%p is ours alone', (aud) => {
    expect(reason(checkAudience({ aud }, OURS))).toBeUndefined();
  });

  test.each([
    undefined,
    null,
    '',
    [],
    'https://other.example',
    `${OURS}/`,
    'HTTPS://mayfly.example',
    [OURS, 'https://other.example'],
    [OURS, OURS],
    [[OURS]],
    { 0: OURS, length: 1 },
    'https://kubernetes.default.svc',
  ])('%p is refused', (aud) => {
    expect(reason(checkAudience({ aud }, OURS))).toBe('subject_token_audience');
  });
});

describe('subject', () => {
  const subject = (sub: unknown, issuer: Issuer) => reason(checkSubject({ sub }, issuer));

  test.each([
    'a',
    'system:serviceaccount:ns:name',
    'repo:o/r:environment:two words',
    'x'.repeat(2048),
  ])('an OpenID issuer may say %p', (sub) => {
    expect(subject(sub, oidc())).toBeUndefined();
  });

  test.each([
    undefined,
    7,
    '',
    ' a',
    'a ',
    'a\n',
    'a\u0000b',
    'naïve',
    'invoice\u200breconciler',
    'ａgent',
    'x'.repeat(2049),
    'SPIFFE://demo.example/a',
    'spiffe://demo.example/a/../b',
    'spiffe://demo.example',
  ])('no issuer may say %p', (sub) => {
    expect(subject(sub, oidc())).toBe('subject_token_claims');
    expect(subject(sub, spiffe())).toBe('subject_token_claims');
  });

  test("a JWT-SVID speaks for its issuer's trust domain only", () => {
    expect(subject('spiffe://demo.example/a', spiffe())).toBeUndefined();
    expect(subject('spiffe://other.example/a', spiffe())).toBe('subject_token_claims');
    expect(subject('plain', spiffe())).toBe('subject_token_claims');
  });
});

test.each([{ may_act: { sub: 'a' } }, { act: { sub: 'a' } }, { act: null }])(
  '%p makes a token unacceptable on its own',
  (claims) => {
    expect(reason(refuseDelegated(claims))).toBe('subject_token_delegated');
    expect(reason(refuseDelegated({ actor: 'a' }))).toBeUndefined();
  },
);
