import type { RequestHandler } from 'express';
import { MemoryStore, rateLimit } from 'express-rate-limit';
import { failure } from '../foundation/failure.ts';
import { fail } from '../foundation/result.ts';
import { serve } from './endpoint.ts';
import type { InFlight } from './in-flight.ts';
import type { HttpParts } from './parts.ts';
import type { Face } from './render-failure.ts';

/** The limit is stated per minute. Milliseconds. */
const WINDOW_MS = 60_000;

/**
 * Requests a minute and client address, per replica; one budget for all endpoints, each refused in
 * its own face. The first line against floods, not a promise: caps on leases are in the ledger.
 */
export function createRateLimit(parts: HttpParts, inFlight: InFlight) {
  const store = new MemoryStore();
  const gate = (face: Face): RequestHandler =>
    rateLimit({
      windowMs: WINDOW_MS,
      limit: () => parts.limits().requests_per_minute,
      store,
      standardHeaders: false,
      legacyHeaders: false,
      // Its checks print to the console; what they look for is set by `trustProxy`.
      validate: false,
      handler: serve(parts, inFlight, () => Promise.resolve(fail(tooMany())), {
        face,
        changes: false,
      }),
    });
  return { oauth: gate('oauth'), rest: gate('rest'), stop: () => store.shutdown() };
}

function tooMany() {
  return failure('too_many_requests', 'too many requests from this address; wait a minute', {
    retryAfterSeconds: WINDOW_MS / 1000,
  });
}
