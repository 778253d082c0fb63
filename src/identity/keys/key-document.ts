import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { parseStrictObject } from '../../foundation/strict-json.ts';
import { readPublicKey } from './public-key.ts';
import type { KeyFormat, PublicKey } from './public-key.ts';

/** One reading of an issuer's keys. An empty one is a statement too: it refuses every token. */
export type KeyDocument = {
  readonly keys: ReadonlyMap<string, readonly PublicKey[]>;
  /** `spiffe_sequence`: grows with every version of a bundle. */
  readonly sequence: number | undefined;
  /** `spiffe_refresh_hint`: seconds after which the bundle's owner wants us to ask again. */
  readonly refreshHintSeconds: number | undefined;
};

/** Entries of a key set; a set with more is a mistake or an attack on our memory. */
const ENTRIES_MAX = 200;

/**
 * Reads a JWK Set (RFC 7517 section 5) or a SPIFFE bundle. Keys that cannot verify tokens are left
 * out; the text as a whole fails with a sentence for the log, which quotes nothing of it.
 */
export function parseKeyDocument(
  bytes: Uint8Array,
  format: KeyFormat,
): Result<KeyDocument, string> {
  const document = parseStrictObject(bytes);
  if (!document) return fail('it is not a JSON object without repeated members');
  const entries = document['keys'];
  if (!Array.isArray(entries)) return fail('it has no list named keys');
  if (entries.length > ENTRIES_MAX) return fail(`it has more than ${ENTRIES_MAX} keys`);
  return succeed({
    keys: byKid(entries.flatMap((entry: unknown) => readPublicKey(entry, format) ?? [])),
    sequence: wholeNumber(document['spiffe_sequence']),
    refreshHintSeconds: wholeNumber(document['spiffe_refresh_hint']),
  });
}

function byKid(keys: readonly PublicKey[]): ReadonlyMap<string, readonly PublicKey[]> {
  const map = new Map<string, PublicKey[]>();
  for (const key of keys) map.set(key.kid, [...(map.get(key.kid) ?? []), key]);
  return map;
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
