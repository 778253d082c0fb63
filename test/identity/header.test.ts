import { describe, expect, test } from '@jest/globals';
import { checkHeader, refuseDangerousHeader } from '../../src/identity/token/header.ts';
import { oidc, spiffe } from './support/catalogue.ts';

const good = { alg: 'ES256', kid: 'k1', typ: 'JWT' };

function danger(header: object): string | undefined {
  const result = refuseDangerousHeader({ ...good, ...header });
  return result.ok ? undefined : result.failure.reason;
}

function reasonOf(header: object, rules = oidc()): string | undefined {
  const result = checkHeader({ ...good, ...header }, rules);
  return result.ok ? undefined : result.failure.reason;
}

describe('algorithms', () => {
  test.each([
    'none',
    'nOnE',
    'None',
    'HS256',
    'HS512',
    'es256',
    'ES256K',
    'PBES2-HS256+A128KW',
    '',
    '__proto__',
  ])('alg %s is refused before any issuer is looked up', (alg) => {
    expect(danger({ alg })).toBe('subject_token_algorithm');
  });

  test.each([undefined, null, 5, ['ES256'], { toString: 'ES256' }])('alg %p is refused', (alg) => {
    expect(danger({ alg })).toBe('subject_token_algorithm');
  });

  test("only the issuer's own algorithms pass", () => {
    expect(reasonOf({ alg: 'ES256' })).toBeUndefined();
    expect(reasonOf({ alg: 'PS256' })).toBe('subject_token_algorithm');
  });

  test('a SPIFFE issuer never accepts EdDSA, even when it is listed', () => {
    const rules = spiffe({ algorithms: ['ES256', 'EdDSA'] });
    expect(reasonOf({ alg: 'EdDSA' }, rules)).toBe('subject_token_algorithm');
    expect(reasonOf({ alg: 'ES256' }, rules)).toBeUndefined();
  });
});

describe('members that steer verification', () => {
  test.each([
    { crit: ['exp'] },
    { crit: [] },
    { b64: false },
    { b64: true },
    { zip: 'DEF' },
    { jwk: { kty: 'EC' } },
    { jku: 'https://evil.example/keys' },
    { x5u: 'https://evil.example/cert' },
    { x5c: [] },
  ])('%p is refused', (members) => {
    expect(danger(members)).toBe('subject_token_malformed');
  });

  test('a JWT-SVID holds alg, kid and typ only', () => {
    expect(reasonOf({ x5t: 'abc' }, spiffe())).toBe('subject_token_malformed');
    expect(reasonOf({ x5t: 'abc' }, oidc())).toBeUndefined();
  });
});

describe('typ', () => {
  test.each([
    ['JWT', undefined],
    ['jwt', undefined],
    ['application/jwt', undefined],
    ['at+jwt', 'subject_token_type'],
    ['dpop+jwt', 'subject_token_type'],
    ['wit+jwt', 'subject_token_type'],
    ['application/at+jwt', 'subject_token_type'],
    ['text/jwt', 'subject_token_type'],
    ['', 'subject_token_type'],
    ['JWT ', 'subject_token_type'],
    [7, 'subject_token_type'],
    [null, 'subject_token_type'],
  ])('%p with JWT allowed', (typ, expected) => {
    expect(reasonOf({ typ }, oidc({ token_types: ['JWT'] }))).toBe(expected);
  });

  test('a token without typ needs the empty entry', () => {
    const bare = { alg: 'ES256', kid: 'k1' };
    expect(checkHeader(bare, oidc({ token_types: ['JWT', ''] })).ok).toBe(true);
    expect(checkHeader(bare, oidc({ token_types: ['JWT'] })).ok).toBe(false);
    expect(reasonOf({ typ: 'application/' }, oidc({ token_types: [''] }))).toBe(
      'subject_token_type',
    );
  });

  test('a list may name the long form and the token the short one', () => {
    expect(
      reasonOf({ typ: 'AT+JWT' }, oidc({ token_types: ['application/at+jwt'] })),
    ).toBeUndefined();
  });

  test('letters that only look alike do not pass', () => {
    // U+212A, the Kelvin sign, becomes an ordinary k when lower-cased.
    expect(reasonOf({ typ: 'to\u212Aen' }, oidc({ token_types: ['token'] }))).toBe(
      'subject_token_type',
    );
  });
});

test.each([undefined, '', 7, 'k'.repeat(513)])('kid %p names no key', (kid) => {
  expect(reasonOf({ kid })).toBe('subject_token_key_unknown');
});
