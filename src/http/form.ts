import type { IncomingMessage } from 'node:http';
import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { isPlain } from './media-type.ts';
import { readBody } from './read-body.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/** The parameters of a form that have a value, in order of their first coming. */
export type Form = ReadonlyMap<string, readonly string[]>;

const FORM = 'application/x-www-form-urlencoded';

/** Reads a form by the rules of RFC 6749 3.2 and appendix B. */
export async function readForm(
  request: IncomingMessage,
  clock: Clock,
): Promise<Result<Form, Failure>> {
  if ((request.url ?? '').includes('?')) {
    return fail(
      failure('query_not_allowed', 'send the parameters in the body, none in the address'),
    );
  }
  if (!isPlain(request, FORM)) {
    return fail(failure('not_a_form', `send the parameters as ${FORM}, not compressed`));
  }
  const body = await readBody(request, REQUEST_BOUNDS.formBytes, clock);
  return body.ok ? parseForm(body.value) : body;
}

/**
 * Splits a form into its parameters. Empty ones count as absent. What is not percent-encoded UTF-8
 * is refused rather than guessed at.
 */
export function parseForm(body: Buffer): Result<Form, Failure> {
  const form = new Map<string, string[]>();
  const pairs = body.toString('latin1').split('&');
  if (pairs.length > REQUEST_BOUNDS.parameters) {
    return fail(
      failure('not_a_form', `a form may have at most ${REQUEST_BOUNDS.parameters} parameters`),
    );
  }
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = decode(equals < 0 ? '' : pair.slice(equals + 1));
    if (name === undefined || value === undefined) {
      return fail(failure('not_a_form', 'the form must be percent-encoded UTF-8'));
    }
    if (value === '') continue;
    const values = form.get(name);
    if (values) values.push(value);
    else form.set(name, [value]);
  }
  return succeed(form);
}

/** Raw bytes above ASCII are taken as UTF-8, as browsers and curl send them. */
function decode(raw: string): string | undefined {
  const escaped = raw
    .replaceAll('+', ' ')
    .replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  try {
    return decodeURIComponent(escaped);
  } catch {
    return undefined;
  }
}

/** What a parameter of OAuth may be called. A credential or token never looks like this. */
const PARAMETER_NAME = /^[a-z][a-z_]{0,39}$/;

/**
 * The first of `names` that came more than once (RFC 6749 3.2). It is named where it looks like a
 * name: a body may be a credential that somebody sent without `token=`, and answers are logged.
 */
export function duplicateOf(form: Form, names: readonly string[]): Failure | undefined {
  const twice = names.find((name) => (form.get(name)?.length ?? 0) > 1);
  if (twice === undefined) return undefined;
  if (!PARAMETER_NAME.test(twice)) {
    return failure('duplicate_parameter', 'something that is no name of a parameter came twice');
  }
  return failure('duplicate_parameter', 'give this parameter once', { field: twice });
}

/** The one value of a parameter that was checked not to be there twice. */
export function single(form: Form, name: string): string | null {
  return form.get(name)?.[0] ?? null;
}

/** The value of a parameter that must be there. */
export function required(form: Form, name: string): Result<string, Failure> {
  const value = single(form, name);
  if (value !== null) return succeed(value);
  return fail(failure('parameter_missing', 'this parameter is required', { field: name }));
}
