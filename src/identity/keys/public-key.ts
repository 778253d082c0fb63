import { isObject } from '../../foundation/strict-json.ts';
import type { KeyShape } from '../token/algorithm.ts';

/** A verification key of an issuer: only the members that make a public key, nothing else. */
export type PublicKey = {
  readonly kid: string;
  /** The one algorithm that its issuer names for it, if any. */
  readonly alg: string | undefined;
  readonly jwk: Readonly<{
    kty: string;
    crv?: string;
    n?: string;
    e?: string;
    x?: string;
    y?: string;
  }>;
};

/** Where a key set comes from decides which `use` marks a key for verifying tokens. */
export type KeyFormat = 'jwks' | 'spiffe';

/** Bits. Below it RSA is broken (RFC 8725 section 3.2); above it a verification takes too long. */
const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 8192;

/** Bytes of an RSA exponent; a longer one only makes verification slow. */
const RSA_EXPONENT_BYTES_MAX = 4;

const KID_LENGTH_MAX = 512;

/**
 * Reads one entry of a key set. Undefined for keys that cannot or must not verify tokens: private
 * or secret ones, other uses (a SPIFFE bundle mixes in X.509 authorities), weak ones, nameless ones.
 */
export function readPublicKey(entry: unknown, format: KeyFormat): PublicKey | undefined {
  if (!isObject(entry) || !servesVerification(entry, format)) return undefined;
  const { kid, alg } = entry;
  if (typeof kid !== 'string' || kid === '' || kid.length > KID_LENGTH_MAX) return undefined;
  if (alg !== undefined && typeof alg !== 'string') return undefined;
  const jwk = publicMembers(entry);
  return jwk && { kid, alg, jwk };
}

/** Whether the key can verify `algorithm`, whose needs are `shape`: one key, one algorithm. */
export function fitsAlgorithm(key: PublicKey, algorithm: string, shape: KeyShape): boolean {
  if (key.alg !== undefined && key.alg !== algorithm) return false;
  return key.jwk.kty === shape.kty && key.jwk.crv === shape.crv;
}

function servesVerification(entry: Record<string, unknown>, format: KeyFormat): boolean {
  if ('d' in entry || 'k' in entry) return false;
  const { use, key_ops: operations } = entry;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return false;
  }
  return format === 'spiffe' ? use === 'jwt-svid' : use === undefined || use === 'sig';
}

function publicMembers(entry: Record<string, unknown>): PublicKey['jwk'] | undefined {
  const { kty, crv, n, e, x, y } = entry;
  if (kty === 'RSA' && typeof n === 'string' && typeof e === 'string') {
    return rsaStrengthAccepted(n, e) ? { kty, n, e } : undefined;
  }
  if (typeof crv !== 'string' || typeof x !== 'string') return undefined;
  if (kty === 'EC' && typeof y === 'string') return { kty, crv, x, y };
  if (kty === 'OKP') return { kty, crv, x };
  return undefined;
}

function rsaStrengthAccepted(modulus: string, exponent: string): boolean {
  const bits = bitLength(Buffer.from(modulus, 'base64url'));
  const exponentBytes = Buffer.from(exponent, 'base64url').length;
  return (
    bits >= RSA_BITS_MIN &&
    bits <= RSA_BITS_MAX &&
    exponentBytes > 0 &&
    exponentBytes <= RSA_EXPONENT_BYTES_MAX
  );
}

function bitLength(bytes: Buffer): number {
  const first = bytes.findIndex((byte) => byte !== 0);
  if (first < 0) return 0;
  return (bytes.length - first) * 8 - Math.clz32(bytes[first] ?? 0) + 24;
}
