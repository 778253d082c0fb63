import type { Request, RequestHandler, Response } from 'express';
import { failure } from '../foundation/failure.ts';
import type { Failure, FailureReason } from '../foundation/failure.ts';
import { faultOf } from '../foundation/fault.ts';
import type { Result } from '../foundation/result.ts';
import { deliver } from './answer.ts';
import type { Answer } from './answer.ts';
import type { InFlight } from './in-flight.ts';
import type { HttpParts } from './parts.ts';
import { renderFailure } from './render-failure.ts';
import type { Face } from './render-failure.ts';

/** Ids and names that go into the one log line of a request; never a token or credential. */
export type Notes = Record<string, string | number | boolean | null>;

export type Call = {
  readonly request: Request;
  readonly requestId: string;
  /** What the endpoint learns on its way; logged with the answer. */
  readonly notes: Notes;
};

/** One endpoint: from a request to its answer. Expected failures are values. */
export type Endpoint = (call: Call) => Promise<Result<Answer, Failure>>;

export type Serving = {
  readonly face: Face;
  /** True for calls that change something: each leaves a line at level `info`. */
  readonly changes: boolean;
  /** Another rendering of failures than the face's own. */
  readonly render?: (failure: Failure) => Answer;
};

/** Joins an endpoint to Express: renders, sends, logs one line, counts, and cleans up after it. */
export function serve(
  parts: HttpParts,
  inFlight: InFlight,
  endpoint: Endpoint,
  serving: Serving,
): RequestHandler {
  return (request, response) => {
    inFlight.track(answerCall(parts, inFlight, endpoint, serving, { request, response }));
  };
}

async function answerCall(
  parts: HttpParts,
  inFlight: InFlight,
  endpoint: Endpoint,
  { face, changes, render }: Serving,
  { request, response }: { readonly request: Request; readonly response: Response },
): Promise<void> {
  const { clock, log, metrics } = parts;
  const begun = clock.monotonicMs();
  const requestId = requestIdSetOn(response);
  const notes: Notes = {};
  const result = await outcomeOf(endpoint, { request, requestId, notes }, parts);
  const answer = result.ok
    ? result.value
    : (render?.(result.failure) ?? renderFailure(face, result.failure, requestId));
  const unread = !result.ok && leavesBodyUnread(result.failure.reason);
  if ((unread || inFlight.draining()) && !response.headersSent) {
    response.setHeader('Connection', 'close');
  }
  const delivery = await deliver(response, answer);
  const seconds = (clock.monotonicMs() - begun) / 1000;
  const route = routeOf(request);
  metrics.answered(route, answer.status, seconds);
  log[levelOf(answer.status, changes)](
    {
      request_id: requestId,
      route,
      status: answer.status,
      ...(result.ok ? {} : told(result.failure)),
      ...notes,
      delivery,
      seconds,
    },
    'answered',
  );
  if (delivery === 'lost') await clearUp(answer, requestId, parts);
}

async function outcomeOf(
  endpoint: Endpoint,
  call: Call,
  { log }: HttpParts,
): Promise<Result<Answer, Failure>> {
  try {
    return await endpoint(call);
  } catch (thrown) {
    log.error({ request_id: call.requestId, fault: faultOf(thrown) }, 'unexpected error');
    return {
      ok: false,
      failure: failure('internal', 'something went wrong here; the log has the request id'),
    };
  }
}

async function clearUp(answer: Answer, requestId: string, { log }: HttpParts): Promise<void> {
  try {
    await answer.onLost?.();
  } catch (thrown) {
    log.error(
      { request_id: requestId, fault: faultOf(thrown) },
      'could not clear up a lost answer',
    );
  }
}

/** Reads are quiet, unless they show that something is broken or that somebody tries doors. */
function levelOf(status: number, changes: boolean): 'debug' | 'info' | 'warn' {
  if (status >= 500) return 'warn';
  return changes || status === 401 || status === 403 ? 'info' : 'debug';
}

function told({ reason, field, decisionId, policyIds }: Failure) {
  return {
    reason,
    ...(field === undefined ? {} : { field }),
    ...(decisionId === undefined ? {} : { decision_id: decisionId }),
    ...(policyIds === undefined ? {} : { policy_ids: policyIds }),
  };
}

/** The connection cannot serve another request while the rest of this one may still come. */
function leavesBodyUnread(reason: FailureReason): boolean {
  return reason === 'body_too_large' || reason === 'body_incomplete';
}

function requestIdSetOn(response: Response): string {
  return String(response.getHeader('X-Request-Id'));
}

/** The pattern that matched, so that metrics have as many series as there are routes. */
function routeOf(request: Request): string {
  const route = request.route as { readonly path?: string | readonly string[] } | undefined;
  return [route?.path ?? 'none'].flat()[0] ?? 'none';
}
