import { generateKeyPairSync, createHmac } from 'node:crypto';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import type { CryptoKey, JWK } from 'jose';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import { START_S } from './test-clock.ts';

export const PUBLIC_URL = 'https://mayfly.example';
export const SUBJECT = 'spiffe://demo.example/agent/invoice-reconciler';

export type SigningKey = {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  /** The public half as an issuer publishes it. */
  readonly jwk: JWK;
};

export async function makeKey(kid: string, alg = 'ES256'): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid } };
}

type Claims = Record<string, unknown>;

/** The claims of a good workload token; a claim that is set to undefined is left out. */
export function goodClaims(issuer: string, changes: Claims = {}): Claims {
  const claims = {
    iss: issuer,
    sub: SUBJECT,
    aud: PUBLIC_URL,
    exp: START_S + 300,
    iat: START_S,
    ...changes,
  };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

export async function sign(
  key: SigningKey,
  claims: Claims,
  header: Claims = {},
): Promise<SecretText> {
  const members = { alg: key.alg, kid: key.kid, typ: 'JWT', ...header };
  const protectedHeader = Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as { alg: string };
  return new SecretText(
    await new SignJWT(claims).setProtectedHeader(protectedHeader).sign(key.privateKey),
  );
}

export function encode(part: string | object): string {
  const text = typeof part === 'string' ? part : JSON.stringify(part);
  return Buffer.from(text).toString('base64url');
}

/** A token from raw parts, as no honest library would make it. */
export function forge(
  header: string | object,
  claims: string | object,
  signature = 'AAAA',
): SecretText {
  return new SecretText(`${encode(header)}.${encode(claims)}.${signature}`);
}

/** HS256 with the public key's PEM as the secret: the classic confusion of algorithms. */
export function forgeHmac(key: SigningKey, claims: Claims, secret: string): SecretText {
  const input = `${encode({ alg: 'HS256', kid: key.kid, typ: 'JWT' })}.${encode(claims)}`;
  return new SecretText(
    `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`,
  );
}

/** A public RSA key of 1024 bits, which jose itself refuses to make. */
export function weakRsaJwk(kid: string): JWK {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  return { ...(publicKey.export({ format: 'jwk' }) as JWK), kid };
}
