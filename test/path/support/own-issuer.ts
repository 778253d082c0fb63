import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CompactSign, exportJWK, exportSPKI, generateKeyPair } from 'jose';
import type { CryptoKey } from 'jose';
import type { Edits } from './path-world.ts';

/** An issuer whose every token can be as wrong as a test wants. */
export type OwnIssuer = {
  readonly issuer: string;
  readonly kid: string;
  /** Signed by this issuer's key; `claims` and `header` replace the good ones, undefined drops. */
  token(claims?: Changes, header?: Changes): Promise<string>;
  /** The same text, signed by a key that nobody published. */
  forged(): Promise<string>;
  /** Unsigned (RFC 7519 section 6). */
  unsigned(): string;
  /** Signed as HMAC with the published public key as its secret (RFC 8725 section 2.1). */
  hmacWithPublicKey(): Promise<string>;
  stop(): Promise<void>;
};

type Changes = Readonly<Record<string, unknown>>;

const KID = 'own-1';
const SUBJECT = 'own-reconciler';
/** Seconds. */
const LIFE = 300;

/** @param audience asked for with each token, since it is known only when the world stands. */
export async function startOwnIssuer(audience: () => string): Promise<OwnIssuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const other = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: KID, alg: 'ES256', use: 'sig' };
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const good = () => {
    const now = Math.floor(Date.now() / 1000);
    return { iss: issuer, sub: SUBJECT, aud: audience(), iat: now, exp: now + LIFE };
  };
  const signed = (claims: Changes, header: Changes, key: CryptoKey | Uint8Array) =>
    new CompactSign(Buffer.from(JSON.stringify({ ...good(), ...claims })))
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: KID, ...header })
      .sign(key);
  return {
    issuer,
    kid: KID,
    token: (claims = {}, header = {}) => signed(claims, header, privateKey),
    forged: () => signed({}, {}, other.privateKey),
    unsigned: () => `${encoded({ alg: 'none', typ: 'at+jwt' })}.${encoded(good())}.`,
    hmacWithPublicKey: async () =>
      signed({}, { alg: 'HS256' }, Buffer.from(await exportSPKI(publicKey))),
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Edits of the catalogue with which the agent of most tests proves itself at this issuer. */
export function trusting({ issuer }: OwnIssuer): Edits {
  return {
    'issuers/own-idp.yaml': () =>
      [
        'kind: oidc',
        'name: own-idp',
        'use: workload',
        `issuer: ${issuer}`,
        `keys: { jwks_url: ${issuer}/keys }`,
        'algorithms: [ES256]',
        'token_types: [at+jwt]',
        'max_token_life_seconds: 3600',
        '',
      ].join('\n'),
    'agents/invoice-reconciler.yaml': (text) =>
      text
        .replace('issuer: demo-idp', 'issuer: own-idp')
        .replace(/subject: .*/, `subject: ${SUBJECT}`),
  };
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
