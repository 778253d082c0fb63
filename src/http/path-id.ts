import type { Request } from 'express';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { isUuid } from '../foundation/ids.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';

/** The `:id` of the path. What is no id of ours is as unknown as one that we never gave. */
export function pathId(request: Request, what: 'lease' | 'task'): Result<string, Failure> {
  const { id } = request.params;
  if (typeof id === 'string' && isUuid(id)) return succeed(id);
  return fail(failure('not_found', `no such ${what}`));
}

/** Wider than the names that the catalogue allows: an older one may have been. */
const AGENT_ID = /^[\x21-\x7e]{1,128}$/;

/** The `:id` of the path of an agent. */
export function pathAgent(request: Request): Result<string, Failure> {
  const { id } = request.params;
  if (typeof id === 'string' && AGENT_ID.test(id)) return succeed(id);
  return fail(failure('not_found', 'no such agent'));
}
