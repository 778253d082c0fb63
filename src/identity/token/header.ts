import type { Issuer } from '../../catalogue/issuer.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure, FailureReason } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { keyShapeOf } from './algorithm.ts';

/** The two members of a header that verification goes on with. */
export type TokenHeader = { readonly algorithm: string; readonly kid: string };

/**
 * Members that would let the sender of a token choose its key, its encoding, or rules of which we
 * know nothing (RFC 8725 sections 3.6, 3.10; RFC 7515 section 4.1.11; RFC 7797).
 */
const REFUSED_MEMBERS = ['crit', 'b64', 'zip', 'jwk', 'jku', 'x5u', 'x5c'];

/** Characters; a `kid` is a name in a key set, never a path or a query. */
const KID_LENGTH_MAX = 512;

/** JWT-SVID section 2: no EdDSA, and no other header members than these. */
const SVID_ALGORITHM = /^(RS|ES|PS)(256|384|512)$/;
const SVID_MEMBERS = ['alg', 'kid', 'typ'];

type HeaderRules = Pick<Issuer, 'kind' | 'algorithms' | 'token_types'>;

/** The part of the header check that holds for every issuer, done before one is looked up. */
export function refuseDangerousHeader(
  header: Readonly<Record<string, unknown>>,
): Result<void, Failure> {
  const { alg } = header;
  if (typeof alg !== 'string' || keyShapeOf(alg) === undefined) {
    return refuse('subject_token_algorithm', 'alg', 'must be an asymmetric signature algorithm');
  }
  const refused = REFUSED_MEMBERS.find((member) => Object.hasOwn(header, member));
  if (refused !== undefined) {
    return refuse('subject_token_malformed', refused, 'is not accepted; leave it out');
  }
  return succeed(undefined);
}

/**
 * Checks a header against its issuer's rules: `alg` in the list (case-sensitive), `typ` in the list
 * (`application/` may be left out, RFC 7515 section 4.1.9), `kid` present.
 */
export function checkHeader(
  header: Readonly<Record<string, unknown>>,
  rules: HeaderRules,
): Result<TokenHeader, Failure> {
  const { alg, kid } = header;
  if (typeof alg !== 'string' || !algorithmAllowed(alg, rules)) {
    return refuse('subject_token_algorithm', 'alg', "must be one of the issuer's algorithms");
  }
  if (!typeAllowed(header, rules.token_types)) {
    return refuse('subject_token_type', 'typ', "must be one of the issuer's token types");
  }
  if (rules.kind === 'spiffe' && Object.keys(header).some((name) => !SVID_MEMBERS.includes(name))) {
    return refuse('subject_token_malformed', 'header', 'of a JWT-SVID holds alg, kid and typ only');
  }
  if (typeof kid !== 'string' || kid === '' || kid.length > KID_LENGTH_MAX) {
    return refuse('subject_token_key_unknown', 'kid', 'must name the key that signed the token');
  }
  return succeed({ algorithm: alg, kid });
}

function algorithmAllowed(algorithm: string, rules: HeaderRules): boolean {
  const listed = rules.algorithms.some((one) => one === algorithm);
  return listed && (rules.kind !== 'spiffe' || SVID_ALGORITHM.test(algorithm));
}

function typeAllowed(
  header: Readonly<Record<string, unknown>>,
  allowed: readonly string[],
): boolean {
  if (!Object.hasOwn(header, 'typ')) return allowed.includes('');
  const { typ } = header;
  if (typeof typ !== 'string' || !/^[\x21-\x7e]+$/.test(typ)) return false;
  return allowed.some((one) => one !== '' && mediaType(one) === mediaType(typ));
}

/** Media types are case-insensitive; a name without a slash stands for `application/<name>`. */
function mediaType(typ: string): string {
  const name = typ.toLowerCase();
  return name.includes('/') ? name : `application/${name}`;
}

function refuse(reason: FailureReason, field: string, rule: string): Result<never, Failure> {
  return fail(failure(reason, `the token's ${field} ${rule}`, { field }));
}
