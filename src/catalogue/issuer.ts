import { z } from 'zod';
import { Line, Name, Seconds } from './wording.ts';

const Algorithm = z.enum([
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]);

const Keys = z.union([
  z.strictObject({ discovery: z.literal(true) }),
  z.strictObject({ jwks_url: z.string() }),
  z.strictObject({ jwks_file: z.string() }),
  z.strictObject({ bundle_url: z.string() }),
  z.strictObject({ bundle_file: z.string() }),
]);

const shared = {
  name: Name,
  description: Line.optional(),
  /** Each (issuer, audience) pair is of exactly one use. */
  use: z.enum(['workload', 'operator']),
  /** Absent: the broker's public URL for workloads, the public URL + `/operators` for operators. */
  audience: z.string().min(1).max(512).optional(),
  algorithms: z.array(Algorithm).min(1),
  /** Values of `typ` that are accepted; `""` stands for a token without `typ`. */
  token_types: z.array(z.string().max(64)).min(1),
  /** Tolerated clock difference. It never lengthens a lease. */
  leeway_seconds: z.int().min(0).max(30).default(5),
  /** Tokens that claim a longer life than this (exp - iat) are refused, where `iat` is present. */
  max_token_life_seconds: Seconds.optional(),
  /** Certificates (PEM) that are trusted for fetching keys, instead of the system's. */
  ca_file: z.string().optional(),
};

/** A source of workload or operator tokens, with its keys, audience and claim rules. */
export const Issuer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('oidc'), ...shared, issuer: z.string().min(1), keys: Keys }),
  z.strictObject({
    kind: z.literal('spiffe'),
    ...shared,
    trust_domain: z.string().regex(/^[a-z0-9._-]{1,255}$/, 'must be a SPIFFE trust domain name'),
    keys: Keys,
  }),
]);
export type Issuer = z.infer<typeof Issuer>;
