import express from 'express';
import type { ErrorRequestHandler, Express, Request, RequestHandler } from 'express';
import helmet from 'helmet';
import { failure } from '../foundation/failure.ts';
import { faultOf } from '../foundation/fault.ts';
import { fail } from '../foundation/result.ts';
import { listAgentsEndpoint, showAgentEndpoint } from './agents.ts';
import { deliver } from './answer.ts';
import { completeTaskEndpoint } from './complete-task.ts';
import { confirmLedgerEndpoint } from './confirm-ledger.ts';
import { serve } from './endpoint.ts';
import type { Endpoint, Serving } from './endpoint.ts';
import { exchangeEndpoint } from './exchange.ts';
import { healthEndpoint, readyEndpoint } from './health.ts';
import type { InFlight } from './in-flight.ts';
import { listLeasesEndpoint } from './list-leases.ts';
import { listTasksEndpoint } from './list-tasks.ts';
import { metadataEndpoint, metadataPaths } from './metadata.ts';
import type { HttpParts } from './parts.ts';
import { quarantineEndpoint, releaseEndpoint } from './quarantine.ts';
import { createRateLimit } from './rate-limit.ts';
import { reconcileEndpoint } from './reconcile.ts';
import { renderClientFailure, renderFailure } from './render-failure.ts';
import type { Face } from './render-failure.ts';
import { requestIdOf } from './request-id.ts';
import { retryLeaseEndpoint } from './retry-lease.ts';
import { revocationsEndpoint } from './revocations.ts';
import { revokeCredentialEndpoint } from './revoke-credential.ts';
import { revokeLeaseEndpoint } from './revoke-lease.ts';
import { revokeTaskEndpoint } from './revoke-task.ts';
import { showLeaseEndpoint } from './show-lease.ts';
import { showTaskEndpoint } from './show-task.ts';

/** Proxies in front whose X-Forwarded-For is believed: how many hops, or which addresses. */
export type TrustProxy = number | readonly string[];

export type Application = {
  readonly handler: Express;
  readonly stop: () => void;
};

/** All routes, joined to the use cases. */
export function createApplication(
  parts: HttpParts,
  inFlight: InFlight,
  trustProxy: TrustProxy | undefined,
): Application {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // Each endpoint reads its own query; Express's parsers would guess at duplicates.
  app.set('query parser', false);
  app.set('case sensitive routing', true);
  app.set('trust proxy', trustProxy === undefined ? false : mutable(trustProxy));
  app.use(helmet(), everyAnswer(parts));
  const limit = createRateLimit(parts, inFlight);
  const routes = routing(app, parts, inFlight);
  probes(app, routes, parts, inFlight);
  app.use(['/exchange', '/revoke'], limit.oauth);
  app.use('/v1', limit.rest);
  oauth(routes, parts);
  rest(routes, parts);
  app.use(routes.answering({ face: 'rest', changes: false }, notFound));
  app.use(lastResort(parts));
  return { handler: app, stop: limit.stop };
}

type Routes = ReturnType<typeof routing>;

function routing(app: Express, parts: HttpParts, inFlight: InFlight) {
  const answering = (serving: Serving, endpoint: Endpoint) =>
    serve(parts, inFlight, endpoint, serving);
  /** One path with one method; any other method is told which one. */
  const route = (
    method: 'get' | 'post',
    path: string | string[],
    serving: Serving,
    endpoint: Endpoint,
  ) => {
    app[method](path, answering(serving, endpoint));
    app.all(path, methodNotAllowed(method), answering(serving, wrongMethod(method)));
  };
  return { route, answering };
}

function probes(app: Express, { route }: Routes, parts: HttpParts, inFlight: InFlight): void {
  const quiet: Serving = { face: 'rest', changes: false };
  route('get', '/healthz', quiet, healthEndpoint);
  route('get', '/readyz', quiet, readyEndpoint(parts, inFlight));
  app.get('/metrics', (_request, response, next) => {
    parts.metrics.render().then(({ contentType, body }) => {
      response.setHeader('Content-Type', contentType);
      response.end(body);
    }, next);
  });
}

function oauth({ route }: Routes, parts: HttpParts): void {
  const face: Face = 'oauth';
  route('post', '/exchange', { face, changes: true }, exchangeEndpoint(parts));
  const revoking = { face, changes: true, render: renderClientFailure };
  route('post', '/revoke', revoking, revokeCredentialEndpoint(parts));
  route('get', metadataPaths(parts.publicUrl), { face, changes: false }, metadataEndpoint(parts));
}

function rest({ route }: Routes, parts: HttpParts): void {
  const reads: Serving = { face: 'rest', changes: false };
  const changes: Serving = { face: 'rest', changes: true };
  route('get', '/v1/leases', reads, listLeasesEndpoint(parts));
  route('get', '/v1/leases/:id', reads, showLeaseEndpoint(parts));
  route('post', '/v1/leases/:id/revoke', changes, revokeLeaseEndpoint(parts));
  route('post', '/v1/leases/:id/retry', changes, retryLeaseEndpoint(parts));
  route('get', '/v1/tasks', reads, listTasksEndpoint(parts));
  route('get', '/v1/tasks/:id', reads, showTaskEndpoint(parts));
  route('post', '/v1/tasks/:id/complete', changes, completeTaskEndpoint(parts));
  route('post', '/v1/tasks/:id/revoke', changes, revokeTaskEndpoint(parts));
  route('post', '/v1/revocations', changes, revocationsEndpoint(parts));
  route('get', '/v1/agents', reads, listAgentsEndpoint(parts));
  route('get', '/v1/agents/:id', reads, showAgentEndpoint(parts));
  route('post', '/v1/agents/:id/quarantine', changes, quarantineEndpoint(parts));
  route('post', '/v1/agents/:id/release', changes, releaseEndpoint(parts));
  route('post', '/v1/reconciliations', changes, reconcileEndpoint(parts));
  route('post', '/v1/ledger/confirm', changes, confirmLedgerEndpoint(parts));
}

/** Headers of every answer, errors and 404s included. */
function everyAnswer({ ids }: HttpParts): RequestHandler {
  return (request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('Pragma', 'no-cache');
    response.setHeader('X-Request-Id', requestIdOf(request, ids));
    next();
  };
}

function methodNotAllowed(method: 'get' | 'post'): RequestHandler {
  return (_request, response, next) => {
    response.setHeader('Allow', method === 'get' ? 'GET, HEAD' : 'POST');
    next();
  };
}

function wrongMethod(method: 'get' | 'post'): Endpoint {
  const detail = `this address answers ${method === 'get' ? 'GET' : 'POST'} only`;
  return () => Promise.resolve(fail(failure('method_not_allowed', detail)));
}

const notFound: Endpoint = () =>
  Promise.resolve(fail(failure('not_found', 'there is nothing at this address')));

/** What Express itself refuses (an address that cannot be decoded) or what escaped all else. */
function lastResort({ ids, log }: HttpParts): ErrorRequestHandler {
  return (thrown: unknown, request: Request, response, _next) => {
    const malformed = thrown instanceof URIError;
    if (!malformed) log.error({ fault: faultOf(thrown) }, 'unexpected error');
    const problem = malformed
      ? failure('not_found', 'there is nothing at this address')
      : failure('internal', 'something went wrong here');
    if (response.headersSent) response.destroy();
    else void deliver(response, renderFailure('rest', problem, requestIdOf(request, ids)));
  };
}

function mutable(trustProxy: TrustProxy): number | string[] {
  return typeof trustProxy === 'number' ? trustProxy : [...trustProxy];
}
