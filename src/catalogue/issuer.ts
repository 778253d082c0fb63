import { z } from 'zod';
import { Line, Name, Seconds } from './wording.ts';

/** Signature algorithms only: none and the HMAC family cannot be configured (RFC 8725, 3.1). */
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

/** Longer leeways would accept tokens that were replaced long ago. Seconds. */
const LEEWAY_MAX = 30;
const LEEWAY_DEFAULT = 5;

const Url = z.string().regex(/^[\x21-\x7e]{1,2048}$/, 'must be a URL');
const Path = z.string().min(1).max(4096);

const OidcKeys = z.union([
  z.strictObject({
    discovery: z.literal(true).describe('Found by the issuer URL (OpenID Connect Discovery).'),
  }),
  z.strictObject({ jwks_url: Url.describe('The address of a JSON Web Key Set.') }),
  z.strictObject({
    jwks_file: Path.describe('A JSON Web Key Set; a relative path begins at this catalogue.'),
  }),
]);

const SpiffeKeys = z.union([
  z.strictObject({ bundle_url: Url.describe('The address of a SPIFFE bundle.') }),
  z.strictObject({
    bundle_file: Path.describe('A SPIFFE bundle; a relative path begins at this catalogue.'),
  }),
]);

const everyKind = {
  name: Name.describe('The name of the issuer in this catalogue.'),
  description: Line.describe('Whose tokens these are, in one line.').optional(),
  use: z
    .enum(['workload', 'operator'])
    .describe('What its tokens are good for; each (issuer, audience) pair has exactly one use.'),
  audience: z
    .string()
    .regex(/^[\x21-\x7e]{1,512}$/, 'must be 1 to 512 visible ASCII characters')
    .describe(
      'The one aud of its tokens; absent: the public URL for workloads, the public URL + /operators for operators.',
    )
    .optional(),
  algorithms: z.array(Algorithm).min(1).describe('The signature algorithms that are accepted.'),
  token_types: z
    .array(z.string().max(64))
    .min(1)
    .describe('Values of typ that are accepted; "" stands for a token without typ.'),
  leeway_seconds: z
    .int()
    .min(0)
    .max(LEEWAY_MAX)
    .default(LEEWAY_DEFAULT)
    .describe('Tolerated clock difference. It never lengthens a lease.'),
  max_token_life_seconds: Seconds.describe(
    'Tokens that claim a longer life than this (exp - iat) are refused, where iat is present.',
  ).optional(),
  ca_file: Path.describe(
    'Certificates (PEM) that are trusted for fetching keys, instead of the system ones; a relative path begins at this catalogue.',
  ).optional(),
};

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/** A source of workload or operator tokens, with its keys, audience and claim rules. */
export const Issuer = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('oidc').describe('JWTs of an OpenID Connect or OAuth issuer.'),
      ...everyKind,
      issuer: Url.describe('The exact iss of its tokens; may hold ${setting:NAME}.'),
      keys: OidcKeys.describe('Where its keys are: one of discovery, jwks_url, jwks_file.'),
    }),
    z.strictObject({
      kind: z.literal('spiffe').describe('JWT-SVIDs of one trust domain.'),
      ...everyKind,
      trust_domain: z
        .string()
        .regex(TRUST_DOMAIN, 'must be a SPIFFE trust domain name')
        .describe('The trust domain, without spiffe://.'),
      keys: SpiffeKeys.describe('Where its keys are: one of bundle_url, bundle_file.'),
    }),
  ])
  .describe('A source of workload or operator tokens.');
export type Issuer = z.infer<typeof Issuer>;
