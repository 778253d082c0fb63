import type { Issuer } from '../catalogue/issuer.ts';
import type { Failure } from '../foundation/failure.ts';
import { succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { KeySet } from './keys/key-set.ts';
import type { VerifiedToken } from './principal.ts';
import { checkAudience, checkSubject, checkTimes, refuseDelegated } from './token/claims.ts';
import { parseCompactToken } from './token/compact-token.ts';
import { checkHeader, refuseDangerousHeader } from './token/header.ts';
import { selectIssuer } from './token/select-issuer.ts';
import type { AudiencedIssuer } from './token/select-issuer.ts';
import type { SignatureCheck } from './token/signature.ts';

/** An issuer with all that verification needs. */
export type TrustedIssuer = AudiencedIssuer & { readonly keys: KeySet };

/**
 * The one verifier of inbound JWTs (RFC 8725; its order bounds what a stranger can make us do: no
 * key is fetched before a configured issuer is named, no claim is believed before the signature).
 * `nowMs` is asked after the keys were found, which may take seconds.
 */
export async function verifyToken(
  token: SecretText,
  use: Issuer['use'],
  issuers: readonly TrustedIssuer[],
  nowMs: () => number,
  checkSignature: SignatureCheck,
): Promise<Result<VerifiedToken, Failure>> {
  const parsed = parseCompactToken(token.reveal());
  if (!parsed.ok) return parsed;
  const { header, claims } = parsed.value;
  const harmless = refuseDangerousHeader(header);
  if (!harmless.ok) return harmless;
  const selected = selectIssuer(issuers, use, claims);
  if (!selected.ok) return selected;
  const issuer = selected.value;
  const checked = checkHeader(header, issuer.definition);
  if (!checked.ok) return checked;
  const { kid, algorithm } = checked.value;
  const key = await issuer.keys.find(kid, algorithm);
  if (!key.ok) return key;
  const genuine = await checkSignature(token, key.value, algorithm);
  if (!genuine.ok) return genuine;
  const believed = checkClaims(claims, issuer, nowMs());
  if (!believed.ok) return believed;
  return succeed({
    issuer: issuer.definition.name,
    use,
    ...believed.value,
    claims,
    sha256: token.sha256().toString('hex'),
  });
}

function checkClaims(
  claims: Readonly<Record<string, unknown>>,
  issuer: AudiencedIssuer,
  nowMs: number,
): Result<{ subject: string; expiresAt: Date }, Failure> {
  const { definition, audience } = issuer;
  const expiresAt = checkTimes(claims, {
    nowMs,
    leewaySeconds: definition.leeway_seconds,
    maxLifeSeconds: definition.max_token_life_seconds,
  });
  if (!expiresAt.ok) return expiresAt;
  const ours = checkAudience(claims, audience);
  if (!ours.ok) return ours;
  const subject = checkSubject(claims, definition);
  if (!subject.ok) return subject;
  const undelegated = refuseDelegated(claims);
  if (!undelegated.ok) return undelegated;
  return succeed({ subject: subject.value, expiresAt: expiresAt.value });
}
