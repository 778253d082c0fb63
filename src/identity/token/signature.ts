import { compactVerify } from 'jose';
import type { CryptoKey } from 'jose';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { SecretText } from '../../foundation/secret-text.ts';

/** Tokens of one key that are remembered; the oldest is forgotten first. 64 bytes each. */
const REMEMBERED_MAX = 2_000;

/**
 * Answers whether `key` signed this token (RFC 7515 section 5.2). Refuses with one word, whatever is
 * wrong inside: a signature is good or it is not.
 */
export type SignatureCheck = (
  token: SecretText,
  key: CryptoKey,
  algorithm: string,
) => Promise<Result<void, Failure>>;

/**
 * A check that remembers what it has seen to be good, by the SHA-256 of the whole token: workloads
 * send the same token for each task until it expires, and a signature that was good stays good for
 * that key. Everything else about a token is checked each time. What is remembered goes with the
 * key: a key set that was read anew holds other key objects, and a withdrawn key is found no more.
 */
export function createSignatureCheck(): SignatureCheck {
  const seen = new WeakMap<CryptoKey, Set<string>>();
  return async (token, key, algorithm) => {
    const good = seen.get(key) ?? new Set();
    const sha256 = `${algorithm} ${token.sha256().toString('base64')}`;
    if (good.has(sha256)) return succeed(undefined);
    try {
      await compactVerify(token.reveal(), key, { algorithms: [algorithm] });
    } catch {
      return fail(
        failure(
          'subject_token_signature',
          "the token's signature does not fit its content and its issuer's key: get a fresh one",
        ),
      );
    }
    remember(good, sha256);
    seen.set(key, good);
    return succeed(undefined);
  };
}

function remember(good: Set<string>, sha256: string): void {
  good.add(sha256);
  if (good.size <= REMEMBERED_MAX) return;
  const [oldest] = good;
  if (oldest !== undefined) good.delete(oldest);
}
