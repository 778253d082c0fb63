import type { Issuer } from '../../catalogue/issuer.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { parseSpiffeId } from './spiffe-id.ts';

/** An issuer with the audience that is in force for it. */
export type AudiencedIssuer = { readonly definition: Issuer; readonly audience: string };

/**
 * Chooses the configured issuer whose rules and keys a token must satisfy: by exact `iss`, else by
 * the trust domain of a SPIFFE `sub` (a JWT-SVID's `iss` has no meaning). The claims are not
 * verified yet and serve for nothing else. Of several issuers with one `iss` the one whose audience
 * the token names is taken; if none is, the audience check refuses it later.
 */
export function selectIssuer<Candidate extends AudiencedIssuer>(
  issuers: readonly Candidate[],
  use: Issuer['use'],
  claims: Readonly<Record<string, unknown>>,
): Result<Candidate, Failure> {
  const ofUse = issuers.filter(({ definition }) => definition.use === use);
  const byIss = ofUse.filter(
    ({ definition }) => definition.kind === 'oidc' && definition.issuer === claims['iss'],
  );
  const candidates = byIss.length > 0 ? byIss : ofTrustDomain(ofUse, claims['sub']);
  const chosen = candidates.find((one) => namesAudience(claims, one.audience)) ?? candidates[0];
  if (chosen) return succeed(chosen);
  return fail(
    failure(
      'unknown_issuer',
      `no issuer of ${use} tokens is configured for this token's iss or trust domain: ` +
        'check where the token comes from, or have its issuer added to the catalogue',
      { field: 'iss' },
    ),
  );
}

function ofTrustDomain<Candidate extends AudiencedIssuer>(
  issuers: readonly Candidate[],
  subject: unknown,
): readonly Candidate[] {
  const id = typeof subject === 'string' ? parseSpiffeId(subject) : undefined;
  if (!id) return [];
  return issuers.filter(
    ({ definition }) => definition.kind === 'spiffe' && definition.trust_domain === id.trustDomain,
  );
}

function namesAudience(claims: Readonly<Record<string, unknown>>, audience: string): boolean {
  const { aud } = claims;
  return aud === audience || (Array.isArray(aud) && aud.includes(audience));
}
