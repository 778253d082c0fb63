import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { isPlain } from './media-type.ts';
import { readBody } from './read-body.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/** Reads a JSON body that must fit `schema`; the first member that does not is named. */
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
  const value = parse(body.value);
  if (value === undefined) return fail(failure('not_json', 'the body must be JSON in UTF-8'));
  const checked = schema.safeParse(value);
  return checked.success ? succeed(checked.data) : fail(problemOf(checked.error));
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
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
