import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/**
 * Reads the query of a list by `schema`. Unknown, repeated and empty parameters are refused, unlike
 * in OAuth: a filter that was misspelt, or whose variable was not set, must not show everything.
 */
export function readQuery<Schema extends z.ZodObject>(
  request: IncomingMessage,
  schema: Schema,
): Result<z.output<Schema>, Failure> {
  const url = request.url ?? '';
  const search = url.includes('?') ? url.slice(url.indexOf('?') + 1) : '';
  // The first page may be asked for by an empty cursor: it narrows nothing.
  const given = [...new URLSearchParams(search)].filter(
    ([name, value]) => name !== 'cursor' || value !== '',
  );
  const names = given.map(([name]) => name);
  if (names.length > REQUEST_BOUNDS.parameters) {
    return fail(failure('parameter_invalid', 'too many parameters'));
  }
  const known = Object.keys(schema.shape);
  if (names.some((name) => !known.includes(name))) {
    const detail = `unknown parameter; this list knows ${known.join(', ')}`;
    return fail(failure('parameter_invalid', detail));
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    return fail(failure('duplicate_parameter', 'give this parameter once', { field: twice }));
  }
  const empty = given.find(([, value]) => value === '');
  if (empty !== undefined) {
    const detail = 'must not be empty; leave it out to ask for all';
    return fail(failure('parameter_invalid', detail, { field: empty[0] }));
  }
  const checked = schema.safeParse(Object.fromEntries(given));
  if (checked.success) return succeed(checked.data);
  const [issue] = checked.error.issues;
  const field = String(issue?.path[0] ?? '');
  return fail(failure('parameter_invalid', issue?.message ?? 'does not fit', { field }));
}
