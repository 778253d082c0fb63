import { beforeAll, describe, expect, test } from '@jest/globals';
import { importJWK } from 'jose';
import type { CryptoKey } from 'jose';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { createSignatureCheck } from '../../src/identity/token/signature.ts';
import { encode, goodClaims, makeKey, sign } from './support/tokens.ts';
import type { SigningKey } from './support/tokens.ts';

let key: SigningKey;
let other: SigningKey;

beforeAll(async () => {
  [key, other] = await Promise.all([makeKey('one'), makeKey('two')]);
});

/** As a key set hands it out: another object each time that the keys were read anew. */
async function imported({ jwk, alg }: SigningKey): Promise<CryptoKey> {
  return (await importJWK(jwk, alg)) as CryptoKey;
}

describe('a signature that was seen to be good', () => {
  test('is good again', async () => {
    const check = createSignatureCheck();
    const token = await sign(key, goodClaims('https://issuer.example'));
    const mine = await imported(key);
    for (let times = 0; times < 3; times++) {
      expect(await check(token, mine, 'ES256')).toMatchObject({ ok: true });
    }
  });

  test('does not make any other content good', async () => {
    const check = createSignatureCheck();
    const token = await sign(key, goodClaims('https://issuer.example'));
    const mine = await imported(key);
    await check(token, mine, 'ES256');
    const [header, , signature] = token.reveal().split('.');
    const wider = encode(goodClaims('https://issuer.example', { sub: 'somebody else' }));
    const forged = new SecretText([header, wider, signature].join('.'));
    expect(await check(forged, mine, 'ES256')).toMatchObject({
      failure: { reason: 'subject_token_signature' },
    });
  });

  test('says nothing about another key, nor about another algorithm', async () => {
    const check = createSignatureCheck();
    const token = await sign(key, goodClaims('https://issuer.example'));
    const mine = await imported(key);
    await check(token, mine, 'ES256');
    expect(await check(token, await imported(other), 'ES256')).toMatchObject({ ok: false });
    expect(await check(token, mine, 'ES384')).toMatchObject({ ok: false });
  });

  test('is forgotten when many others were seen since, and then checked again', async () => {
    const check = createSignatureCheck();
    const mine = await imported(key);
    const tokens: SecretText[] = [];
    for (let nth = 0; nth < 2_100; nth++) {
      tokens.push(await sign(key, goodClaims('https://issuer.example', { jti: String(nth) })));
    }
    for (const token of [...tokens, ...tokens]) {
      expect(await check(token, mine, 'ES256')).toMatchObject({ ok: true });
    }
  }, 30_000);
});
