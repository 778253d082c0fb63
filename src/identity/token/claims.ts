import type { Issuer } from '../../catalogue/issuer.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { parseSpiffeId } from './spiffe-id.ts';

type Claims = Readonly<Record<string, unknown>>;

/** Unix seconds of the end of the year 9999: a later instant is a mistake, such as milliseconds. */
const LATEST_INSTANT = 253_402_300_799;

export type TimeRules = {
  readonly nowMs: number;
  readonly leewaySeconds: number;
  readonly maxLifeSeconds?: number | undefined;
};

/**
 * Checks `exp` (required), `nbf` and `iat` (RFC 7519 section 4.1; RFC 8725). The leeway forgives a
 * difference between two clocks; it reaches no lease, since a lease's end is counted from the
 * ledger's clock and never from `exp`. Returns the instant of `exp`.
 */
export function checkTimes(claims: Claims, rules: TimeRules): Result<Date, Failure> {
  const { exp, nbf, iat } = claims;
  const now = rules.nowMs / 1000;
  if (!isInstant(exp)) return claim('exp', 'is required, in Unix seconds');
  if (nbf !== undefined && !isInstant(nbf)) return claim('nbf', 'must be in Unix seconds');
  if (iat !== undefined && !isInstant(iat)) return claim('iat', 'must be in Unix seconds');
  if (now >= exp + rules.leewaySeconds) {
    return fail(
      failure(
        'subject_token_expired',
        'the token has expired: get a fresh one, and compare the clocks of both machines',
        { field: 'exp' },
      ),
    );
  }
  if (Math.max(nbf ?? 0, iat ?? 0) > now + rules.leewaySeconds) {
    return fail(
      failure(
        'subject_token_not_yet_valid',
        'the token is not valid yet: compare the clocks of both machines, and send it again later',
        { field: nbf !== undefined && nbf > now + rules.leewaySeconds ? 'nbf' : 'iat' },
      ),
    );
  }
  if (iat !== undefined && iat > exp) return claim('iat', 'must not be after exp');
  return checkLife(exp, iat, now, rules);
}

function checkLife(
  exp: number,
  iat: number | undefined,
  now: number,
  rules: TimeRules,
): Result<Date, Failure> {
  // Without `iat` the life that is left is at least known; it gets the leeway, since `now` is ours.
  const life = iat === undefined ? exp - now - rules.leewaySeconds : exp - iat;
  if (rules.maxLifeSeconds !== undefined && life > rules.maxLifeSeconds) {
    return claim(
      'exp',
      `lies too far ahead: at most ${rules.maxLifeSeconds} s of life are allowed`,
    );
  }
  return succeed(new Date(exp * 1000));
}

/** Exactly one audience, and it is ours: a token for two could be replayed by the other one. */
export function checkAudience(claims: Claims, audience: string): Result<void, Failure> {
  const { aud } = claims;
  const list: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (list.length === 1 && list[0] === audience) return succeed(undefined);
  return fail(
    failure(
      'subject_token_audience',
      'the token must have exactly one audience, the one that this broker is configured for: ' +
        'request a token for this broker alone',
      { field: 'aud' },
    ),
  );
}

/** ASCII as OpenID Connect Core section 2 asks; no blank at an end, so that it has one spelling. */
const SUBJECT = /^[\x21-\x7e](?:[\x20-\x7e]{0,2046}[\x21-\x7e])?$/;

/**
 * Checks the grammar of `sub`. A subject that looks like a SPIFFE ID must be one, from whatever
 * kind of issuer, since rules may match it by its segments; a JWT-SVID's must name a workload of
 * its issuer's own trust domain.
 */
export function checkSubject(claims: Claims, issuer: Issuer): Result<string, Failure> {
  const { sub } = claims;
  if (typeof sub !== 'string' || !SUBJECT.test(sub)) {
    return claim('sub', 'must be 1 to 2048 printable ASCII characters');
  }
  const looksLikeSpiffe = /^spiffe:/i.test(sub);
  if (issuer.kind !== 'spiffe' && !looksLikeSpiffe) return succeed(sub);
  const id = parseSpiffeId(sub);
  if (!id || id.path === '') return claim('sub', 'must be a SPIFFE ID with a path');
  if (issuer.kind === 'spiffe' && id.trustDomain !== issuer.trust_domain) {
    return claim('sub', "must lie in the issuer's trust domain");
  }
  return succeed(sub);
}

/**
 * Refuses a token that speaks of delegation (RFC 8693 sections 4.1, 4.4). Taken for itself it would
 * let its holder drop the actor and pass for the person; only an actor token can make it right.
 */
export function refuseDelegated(claims: Claims): Result<void, Failure> {
  const field = ['may_act', 'act'].find((name) => Object.hasOwn(claims, name));
  if (field === undefined) return succeed(undefined);
  return fail(
    failure(
      'subject_token_delegated',
      `the token carries ${field} and is never accepted without an actor_token: ` +
        "send the workload's own token",
      { field },
    ),
  );
}

function isInstant(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LATEST_INSTANT;
}

function claim(field: string, rule: string): Result<never, Failure> {
  return fail(failure('subject_token_claims', `the token's ${field} ${rule}`, { field }));
}
