import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { parseStrictObject } from '../../foundation/strict-json.ts';

/** Characters of a whole token. Larger than any real workload token, small enough to hash freely. */
export const TOKEN_LENGTH_MAX = 16 * 1024;

/** A token taken apart. Nothing in it may be believed before its signature was verified. */
export type CompactToken = {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
};

/**
 * Takes a JWS compact serialisation apart (RFC 7515 section 7.1): at most `TOKEN_LENGTH_MAX`
 * characters, three base64url parts without padding or line breaks, two JSON objects without
 * repeated members. Fails with `subject_token_too_large` or `subject_token_malformed`.
 */
export function parseCompactToken(text: string): Result<CompactToken, Failure> {
  if (text.length > TOKEN_LENGTH_MAX) {
    return fail(
      failure(
        'subject_token_too_large',
        `the token is longer than ${TOKEN_LENGTH_MAX} characters: ask its issuer for fewer claims`,
      ),
    );
  }
  const parts = text.split('.');
  if (parts.length !== 3)
    return malformed('it must have exactly three parts, signed, not encrypted');
  const [header, claims, signature] = parts.map(decodePart);
  if (!header || !claims || !signature) {
    return malformed('its parts must be base64url without padding or white space');
  }
  const headerObject = parseStrictObject(header);
  if (!headerObject) return malformed('its header must be a JSON object without repeated members');
  const claimsObject = parseStrictObject(claims);
  if (!claimsObject) return malformed('its claims must be a JSON object without repeated members');
  return succeed({ header: headerObject, claims: claimsObject });
}

/** Undefined unless the text is the one base64url encoding of its bytes, without padding. */
function decodePart(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url');
  return bytes.toString('base64url') === part ? bytes : undefined;
}

function malformed(what: string): Result<never, Failure> {
  return fail(failure('subject_token_malformed', `the token is not a compact JWS: ${what}`));
}
