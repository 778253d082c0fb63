import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { repeatedMember } from '../foundation/strict-json.ts';
import { isPlain } from './media-type.ts';
import { readBody } from './read-body.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/**
 * Reads a JSON body that must fit `schema` and names each member once; the first member that does
 * not is named. Of a member that is there twice others might read the first value, and we the last.
 */
export async function readJson<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
  clock: Clock,
): Promise<Result<z.output<Schema>, Failure>> {
  if (!isPlain(request, 'application/json')) {
    return fail(failure('not_json', 'send the body as application/json, not compressed'));
  }
  const body = await readBody(request, REQUEST_BOUNDS.jsonBytes, clock);
  if (!body.ok) return body;
  const json = parse(body.value);
  if (json === undefined) return fail(failure('not_json', 'the body must be JSON in UTF-8'));
  const checked = schema.safeParse(json.value);
  if (!checked.success) return fail(problemOf(checked.error));
  // Only names that the schema knows come so far, and may be repeated to the caller.
  const twice = repeatedMember(json.text);
  if (twice === undefined) return succeed(checked.data);
  return fail(failure('duplicate_parameter', 'give this member once', { field: twice.join('.') }));
}

function parse(body: Buffer): { readonly text: string; readonly value: unknown } | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    return { text, value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

function problemOf(error: z.ZodError): Failure {
  const [issue] = error.issues;
  const field = issue?.path.join('.') ?? '';
  const unknown = issue?.code === 'unrecognized_keys';
  // zod's message for an unknown member repeats its name, which is the caller's to choose.
  const detail = unknown ? 'the body has a member that this call does not know' : issue?.message;
  return failure('parameter_invalid', detail ?? 'does not fit', field === '' ? {} : { field });
}
