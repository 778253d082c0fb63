/** What a key must be for an algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864). */
export type KeyShape = { readonly kty: 'RSA' | 'EC' | 'OKP'; readonly crv?: string };

const RSA = { kty: 'RSA' } as const;
const ED25519 = { kty: 'OKP', crv: 'Ed25519' } as const;

/**
 * Every algorithm that can ever verify a token, whatever a configuration says: asymmetric
 * signatures only, so that neither `none` nor a public key used as an HMAC secret can pass.
 */
const SHAPES: ReadonlyMap<string, KeyShape> = new Map<string, KeyShape>([
  ['RS256', RSA],
  ['RS384', RSA],
  ['RS512', RSA],
  ['PS256', RSA],
  ['PS384', RSA],
  ['PS512', RSA],
  ['ES256', { kty: 'EC', crv: 'P-256' }],
  ['ES384', { kty: 'EC', crv: 'P-384' }],
  ['ES512', { kty: 'EC', crv: 'P-521' }],
  ['EdDSA', ED25519],
  ['Ed25519', ED25519],
]);

/** The key that `algorithm` needs; undefined for one that we never accept. Case-sensitive. */
export function keyShapeOf(algorithm: string): KeyShape | undefined {
  return SHAPES.get(algorithm);
}
