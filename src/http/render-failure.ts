import type { Failure } from '../foundation/failure.ts';
import type { Answer } from './answer.ts';
import { WIRE_ERRORS, isAboutIdentity } from './wire-errors.ts';

/** Which of the two forms of errors an endpoint speaks. */
export type Face = 'oauth' | 'rest';

const REALM = 'Bearer realm="mayfly"';

/** Renders a failure for either face. `Retry-After` where waiting helps. */
export function renderFailure(face: Face, failure: Failure, requestId: string): Answer {
  return face === 'oauth' ? renderOAuth(failure) : renderProblem(failure, requestId);
}

/** RFC 6749 5.2. A 401 names the scheme that would be accepted; a 400 never carries a challenge. */
function renderOAuth(failure: Failure): Answer {
  const { error, status } = WIRE_ERRORS[failure.reason].oauth;
  return {
    status,
    headers: { ...retryAfter(failure), ...(status === 401 ? challenge(failure) : {}) },
    body: {
      error,
      error_description: describable(sentence(failure)),
      error_reason: failure.reason,
      ...decisionOf(failure),
    },
  };
}

/** RFC 9457, with RFC 6750's challenges on 401 and 403. */
function renderProblem(failure: Failure, requestId: string): Answer {
  const { status, title } = WIRE_ERRORS[failure.reason].rest;
  const challenged = status === 401 || failure.reason === 'permission_missing';
  return {
    status,
    headers: { ...retryAfter(failure), ...(challenged ? challenge(failure) : {}) },
    type: 'application/problem+json',
    body: {
      type: `urn:mayfly:error:${failure.reason}`,
      title,
      status,
      detail: failure.detail,
      reason: failure.reason,
      ...(failure.field === undefined ? {} : { field: failure.field }),
      instance: `urn:mayfly:request:${requestId}`,
      ...decisionOf(failure),
    },
  };
}

/**
 * A token that was to authenticate a client of an OAuth endpoint and did not: `invalid_client`
 * (RFC 6749 5.2), with the reason kept. Other failures stay as they are.
 */
export function renderClientFailure(failure: Failure): Answer {
  const answer = renderOAuth(failure);
  if (!isAboutIdentity(failure.reason)) return answer;
  return {
    ...answer,
    status: 401,
    headers: { ...answer.headers, ...challenge(failure) },
    body: { ...answer.body, error: 'invalid_client' },
  };
}

/** RFC 6750 3.1: no code where no token came. */
function challenge(failure: Failure): { 'WWW-Authenticate': string } {
  if (failure.reason === 'unauthenticated') return { 'WWW-Authenticate': REALM };
  const code = failure.reason === 'permission_missing' ? 'insufficient_scope' : 'invalid_token';
  const description = describable(failure.detail);
  return {
    'WWW-Authenticate': `${REALM}, error="${code}", error_description="${description}"`,
  };
}

function retryAfter({ retryAfterSeconds }: Failure): { 'Retry-After'?: string } {
  if (retryAfterSeconds === undefined) return {};
  return { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterSeconds))) };
}

function decisionOf({ decisionId }: Failure): { decision_id?: string } {
  return decisionId === undefined ? {} : { decision_id: decisionId };
}

function sentence({ field, detail }: Failure): string {
  return field === undefined || detail.startsWith(field) ? detail : `${field}: ${detail}`;
}

/** RFC 6749 allows printable ASCII without `"` and `\` in descriptions; so do quoted strings. */
function describable(text: string): string {
  return text.replace(/"/g, "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?');
}
