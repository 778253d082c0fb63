import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Json } from '../../foundation/canonical-json.ts';
import type { Piece } from './piece.ts';

/** A field whose value in OpenBao is not what it must be. */
export type Drift = { readonly field: string; readonly wanted: string; readonly seen: string };

/** Lists of names, whose order means nothing. */
const UNORDERED = new Set(['allowed_roles', 'allowed_policies', 'token_policies']);

/** Characters of a value that are shown; statements and policies are longer. */
const SHOWN_MAX = 200;

/** The fields of `piece` that differ in `data`, what OpenBao answered about it. */
export function driftOf(piece: Piece, data: Readonly<Record<string, unknown>>): readonly Drift[] {
  const seen = piece.flatten?.(data) ?? data;
  return Object.entries(piece.wanted).flatMap(([field, wanted]) => {
    const one = written(field, wanted);
    const other = written(field, seen[field] as Json | undefined);
    return one === other ? [] : [{ field, wanted: shown(one), seen: shown(other) }];
  });
}

function written(field: string, value: Json | undefined): string {
  // OpenBao says null or nothing for an empty list.
  if (value === undefined || value === null) return 'nothing';
  if (isList(value) && value.length === 0) return 'nothing';
  if (typeof value === 'string') return value.trim();
  if (UNORDERED.has(field) && isList(value)) return canonicalJson(value.map(String).sort());
  return canonicalJson(value);
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

function shown(text: string): string {
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}... (${text.length})`;
}
