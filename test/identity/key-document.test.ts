import { describe, expect, test } from '@jest/globals';
import { parseKeyDocument } from '../../src/identity/keys/key-document.ts';
import { makeKey, weakRsaJwk } from './support/tokens.ts';

const EC = { kty: 'EC', crv: 'P-256', x: 'eA', y: 'eQ' };
const RSA = { kty: 'RSA', n: Buffer.alloc(256, 0xff).toString('base64url'), e: 'AQAB' };

function kids(document: unknown, format: 'jwks' | 'spiffe' = 'jwks'): string[] | string {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const parsed = parseKeyDocument(Buffer.from(text), format);
  return parsed.ok ? [...parsed.value.keys.keys()] : parsed.failure;
}

describe('a key set', () => {
  test('keeps the public members of verification keys and nothing else', async () => {
    const { jwk } = await makeKey('k1');
    const parsed = parseKeyDocument(
      Buffer.from(JSON.stringify({ keys: [{ ...jwk, use: 'sig', x5c: ['certificate'] }] })),
      'jwks',
    );
    const { kty, crv, x, y } = jwk;
    expect(parsed.ok && parsed.value.keys.get('k1')).toEqual([
      { kid: 'k1', alg: undefined, jwk: { kty, crv, x, y } },
    ]);
  });

  test.each([
    ['a private key', { ...EC, kid: 'k', d: 'ZA' }],
    ['a secret', { kty: 'oct', kid: 'k', k: 'aw' }],
    ['an encryption key', { ...EC, kid: 'k', use: 'enc' }],
    ['a key for signing only', { ...EC, kid: 'k', key_ops: ['sign'] }],
    ['a key without a name', EC],
    ['a key with an empty name', { ...EC, kid: '' }],
    ['a key with an overlong name', { ...EC, kid: 'k'.repeat(513) }],
    ['a key whose alg is no text', { ...EC, kid: 'k', alg: 5 }],
    ['an unknown type', { kty: 'AKP', kid: 'k', pub: 'x' }],
    ['an EC key without y', { kty: 'EC', kid: 'k', crv: 'P-256', x: 'eA' }],
    ['RSA with 1024 bits', weakRsaJwk('k')],
    [
      'RSA with 2047 bits',
      {
        ...RSA,
        kid: 'k',
        n: Buffer.concat([Buffer.from([0x7f]), Buffer.alloc(255, 255)]).toString('base64url'),
      },
    ],
    [
      'RSA with leading zeros that feign a length',
      {
        ...RSA,
        kid: 'k',
        n: Buffer.concat([Buffer.alloc(200), Buffer.alloc(128, 255)]).toString('base64url'),
      },
    ],
    ['RSA with 16384 bits', { ...RSA, kid: 'k', n: Buffer.alloc(2048, 255).toString('base64url') }],
    [
      'RSA with an endless exponent',
      { ...RSA, kid: 'k', e: Buffer.alloc(200, 255).toString('base64url') },
    ],
    ['no object', 'k'],
  ])('leaves out %s', (_what, entry) => {
    expect(kids({ keys: [entry, { ...EC, kid: 'good' }] })).toEqual(['good']);
  });

  test('takes RSA from 2048 bits on', () => {
    expect(kids({ keys: [{ ...RSA, kid: 'k' }] })).toEqual(['k']);
  });

  test('may be empty, which refuses every token', () => {
    expect(kids({ keys: [] })).toEqual([]);
  });

  test.each(['', '<html>', '[]', '{}', '{"keys":{}}', '{"keys":[],"keys":[]}', 'null'])(
    '%p is none',
    (text) => {
      expect(typeof kids(text)).toBe('string');
    },
  );

  test('has at most 200 entries', () => {
    const entries = (count: number) => ({
      keys: Array.from({ length: count }, (_, i) => ({ ...EC, kid: `k${i}` })),
    });
    expect(kids(entries(200))).toHaveLength(200);
    expect(kids(entries(201))).toBe('it has more than 200 keys');
  });
});

describe('a SPIFFE bundle', () => {
  test('gives its jwt-svid keys, its sequence and its hint', () => {
    const bundle = {
      keys: [
        { ...EC, use: 'x509-svid', x5c: ['MII'], kid: 'x' },
        { ...EC, use: 'jwt-svid', kid: 'j' },
        { ...EC, use: 'wit-svid', kid: 'w' },
        { ...EC, use: 'sig', kid: 's' },
        { ...EC, kid: 'none' },
      ],
      spiffe_sequence: 7,
      spiffe_refresh_hint: 60,
    };
    const parsed = parseKeyDocument(Buffer.from(JSON.stringify(bundle)), 'spiffe');
    expect(parsed).toMatchObject({ ok: true, value: { sequence: 7, refreshHintSeconds: 60 } });
    expect(kids(bundle, 'spiffe')).toEqual(['j']);
    expect(kids(bundle, 'jwks')).toEqual(['s', 'none']);
  });
});
