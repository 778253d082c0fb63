import type { z } from 'zod';
import type { CatalogueProblem } from './catalogue.ts';
import type { ParsedFile } from './document.ts';
import { didYouMean, listed } from './near-miss.ts';
import { fieldName } from './problem.ts';
import type { FieldPath } from './problem.ts';
import { describedAt, fieldsAt, kindsOf } from './definition-walk.ts';

type Issue = z.core.$ZodIssue;
type Context = {
  readonly definition: z.ZodType;
  readonly parsed: ParsedFile;
  readonly data: unknown;
};

/** What a definition has to say about an entry, each with the place in the file and a remedy. */
export function definitionProblems(
  definition: z.ZodType,
  parsed: ParsedFile,
  data: unknown,
  error: z.ZodError,
): CatalogueProblem[] {
  const context = { definition, parsed, data };
  return error.issues.flatMap((issue) => translate(context, issue, stepsOf(issue)));
}

function translate(context: Context, issue: Issue, path: FieldPath): CatalogueProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownField(context, path, key));
  }
  if (issue.code === 'invalid_union') {
    return fromUnion(context, issue, path);
  }
  if (issue.code === 'invalid_key') {
    const reason = issue.issues.map((inner) => inner.message).join('; ');
    return [at(context, path, `bad name: ${reason}`, 'Rename it.', true)];
  }
  if (valueAt(context.data, path) === undefined && isAbsence(issue)) {
    return [
      at(context, path, 'is missing', `Add "${String(path.at(-1))}". ${hint(context, path)}`),
    ];
  }
  return [at(context, path, problemOf(issue), remedyOf(context, issue, path))];
}

function at(
  { parsed }: Context,
  path: FieldPath,
  problem: string,
  remedy: string,
  atKey = false,
): CatalogueProblem {
  const place = atKey ? parsed.keyPlace(path) : parsed.place(path);
  return { file: parsed.file, ...place, field: fieldName(path), problem, remedy: remedy.trim() };
}

function unknownField(context: Context, path: FieldPath, key: string): CatalogueProblem {
  const known = fieldsAt(context.definition, path, context.data).filter(
    (field) => valueAt(context.data, [...path, field]) === undefined,
  );
  const guess = didYouMean(key, known);
  const remedy = guess || `Remove it. Fields not used yet here: ${listed(known)}.`;
  return at(context, [...path, key], 'unknown field', remedy, true);
}

/** The option that comes nearest tells best what is wrong; without one, the description does. */
function fromUnion(
  context: Context,
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: FieldPath,
): CatalogueProblem[] {
  const value = valueAt(context.data, path);
  if (value === undefined) {
    const remedy = `Add "${String(path.at(-1))}". ${hint(context, path)}`;
    return [at(context, path, 'is missing', remedy)];
  }
  if ('discriminator' in issue && issue.discriminator !== undefined) {
    return [
      at(
        context,
        path,
        'is not one of the possible values',
        oneOf(value, kindsOf(context.definition)),
      ),
    ];
  }
  const strange = strangeFields(context, path, value);
  if (strange.length > 0) return strange;
  const options = issue.errors.filter((errors) => errors.length > 0);
  const nearest = [...options].sort((a, b) => weight(a) - weight(b))[0];
  if (nearest === undefined || typeof value !== 'object' || weight(nearest) >= FAR) {
    return [at(context, path, 'fits none of the possible forms', hint(context, path))];
  }
  const beside = nearest.flatMap((inner) => (inner.code === 'unrecognized_keys' ? inner.keys : []));
  if (beside.length > 0) return beside.map((key) => oneTooMany(context, path, key));
  return nearest.flatMap((inner) => translate(context, inner, [...path, ...stepsOf(inner)]));
}

/** Fields of an object that no option of a union knows. */
function strangeFields(context: Context, path: FieldPath, value: unknown): CatalogueProblem[] {
  if (value === null || typeof value !== 'object') return [];
  const known = fieldsAt(context.definition, path, context.data);
  const strange = Object.keys(value).filter((key) => !known.includes(key));
  return strange.map((key) => unknownField(context, path, key));
}

/** Each option of a union knows the field, but none together with the others that are there. */
function oneTooMany(context: Context, path: FieldPath, key: string): CatalogueProblem {
  const all = Object.keys(valueAt(context.data, path) ?? {});
  const remedy = `Keep one of: ${listed(all)}.`;
  return at(context, [...path, key], 'cannot stand beside the other field', remedy, true);
}

/** An option that misses a field of its own is as good as a wrong guess. */
const FAR = 100;

function weight(issues: readonly Issue[]): number {
  return issues.reduce((sum, issue) => sum + (isAbsence(issue) ? FAR : 1), 0);
}

function isAbsence(issue: Issue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_value';
}

function problemOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${TYPES[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return 'is not one of the possible values';
    case 'too_small':
      return `must be at least ${issue.minimum}${unit(issue.origin)}`;
    case 'too_big':
      return `must be at most ${issue.maximum}${unit(issue.origin)}`;
    default:
      return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
  }
}

const TYPES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a whole number',
  string: 'text (in quotes where it looks like a number)',
  array: 'a list',
  object: 'a mapping of fields',
  record: 'a mapping of names',
  boolean: 'true or false',
};

function unit(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' entries' : '';
}

function remedyOf(context: Context, issue: Issue, path: FieldPath): string {
  if (issue.code === 'invalid_value') {
    return oneOf(valueAt(context.data, path), issue.values.map(String));
  }
  return hint(context, path) || 'Correct the value.';
}

function oneOf(value: unknown, values: readonly string[]): string {
  const guess = typeof value === 'string' ? didYouMean(value, values) : '';
  return `${guess}One of: ${values.join(', ')}.`;
}

function hint({ definition, data }: Context, path: FieldPath): string {
  return describedAt(definition, path, data) ?? '';
}

function stepsOf(issue: Issue): FieldPath {
  return issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
}

/** The value at a path, or undefined. */
export function valueAt(data: unknown, path: FieldPath): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      value !== null && typeof value === 'object' && Object.hasOwn(value, step)
        ? (value as Record<string | number, unknown>)[step]
        : undefined,
    data,
  );
}
