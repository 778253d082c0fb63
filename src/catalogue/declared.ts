import type { CatalogueProblem } from './catalogue.ts';
import { didYouMean, listed } from './near-miss.ts';
import { fieldProblem } from './document.ts';
import type { ParsedFile } from './document.ts';
import type { FieldPath } from './problem.ts';

/** An entry that fits its definition, with its way back into its file. */
export type Declared<Entry> = { readonly value: Entry; readonly parsed: ParsedFile };

/** The entries of one kind. */
export type DeclaredKind<Entry> = {
  /** For people: "agent". */
  readonly word: string;
  readonly entries: ReadonlyMap<string, Declared<Entry>>;
  /** Every name in use, also of entries that are broken otherwise: these are not "unknown". */
  readonly names: ReadonlySet<string>;
};

/** A problem at a field of a declared entry. */
export function complain(
  entry: Declared<unknown>,
  path: FieldPath,
  problem: string,
  remedy: string,
): CatalogueProblem {
  return fieldProblem(entry.parsed, path, problem, remedy);
}

/** Nothing, or the problem that a reference names no entry of that kind. */
export function unknownReference(
  entry: Declared<unknown>,
  path: FieldPath,
  name: string,
  kind: { readonly word: string; readonly names: ReadonlySet<string> },
): CatalogueProblem[] {
  if (kind.names.has(name)) return [];
  const guess = didYouMean(name, kind.names);
  const remedy = `${guess}Declare the ${kind.word}, or name one of: ${listed(kind.names)}.`;
  return [complain(entry, path, `names the ${kind.word} "${name}", which does not exist`, remedy)];
}

/** The same for a list of names. */
export function unknownReferences(
  entry: Declared<unknown>,
  field: string,
  names: readonly string[],
  kind: { readonly word: string; readonly names: ReadonlySet<string> },
): CatalogueProblem[] {
  return names.flatMap((name, index) => unknownReference(entry, [field, index], name, kind));
}

/**
 * Entries that have the same `same(entry)` as an earlier one; `complaint` says what is wrong, given
 * where the earlier one is declared.
 */
export function clashes<Entry>(
  entries: Iterable<Declared<Entry>>,
  same: (entry: Entry) => string | undefined,
  complaint: (entry: Declared<Entry>, earlier: Declared<Entry>) => CatalogueProblem,
): CatalogueProblem[] {
  const seen = new Map<string, Declared<Entry>>();
  const problems: CatalogueProblem[] = [];
  for (const entry of entries) {
    const key = same(entry.value);
    if (key === undefined) continue;
    const earlier = seen.get(key);
    if (earlier) problems.push(complaint(entry, earlier));
    else seen.set(key, entry);
  }
  return problems;
}

/** Where an entry is declared, for a sentence. */
export function whereabouts(entry: Declared<unknown>): string {
  return entry.parsed.file;
}
