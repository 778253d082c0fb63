import type { IncomingMessage } from 'node:http';
import type { Ids } from '../foundation/ids.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/** Harmless in a log line, a header and a URN. */
const SANE = new RegExp(`^[A-Za-z0-9._-]{1,${REQUEST_BOUNDS.requestIdCharacters}}$`);

/** The caller's X-Request-Id where it is sane, else a new one. */
export function requestIdOf(request: IncomingMessage, ids: Ids): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && SANE.test(given) ? given : ids.uuid();
}
