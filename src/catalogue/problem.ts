import type { CatalogueProblem } from './catalogue.ts';

/** Field names and list places from the root of an entry to a value. */
export type FieldPath = readonly (string | number)[];

/** Line and column, both from 1. */
export type Place = { readonly line: number; readonly column: number };

/** `limits.open_leases`, `scopes[1]`; the whole file is `(file)`. */
export function fieldName(path: FieldPath): string {
  const text = path.reduce<string>(
    (name, step) =>
      typeof step === 'number' ? `${name}[${step}]` : name ? `${name}.${step}` : step,
    '',
  );
  return text || '(file)';
}

/** A problem with a file as a whole. */
export function fileProblem(file: string, problem: string, remedy: string): CatalogueProblem {
  return { file, line: 1, column: 1, field: '(file)', problem, remedy };
}

/** In the order in which a reader meets them. */
export function inReadingOrder(problems: readonly CatalogueProblem[]): CatalogueProblem[] {
  return [...problems].sort(
    (a, b) =>
      (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column,
  );
}
