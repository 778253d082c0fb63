import type { IncomingMessage } from 'node:http';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/** A preference of its own (RFC 7240 4.3), possibly among others. */
const WAIT = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?=$|[,;])/i;

/** Seconds that the caller wants to wait: `Prefer: wait=N`, cut to what we allow. */
export function waitSecondsOf(request: IncomingMessage): number {
  const prefer = request.headersDistinct['prefer']?.join(',') ?? '';
  const wanted = WAIT.exec(prefer)?.[1];
  if (wanted === undefined) return REQUEST_BOUNDS.waitSeconds;
  return Math.min(Number(wanted), REQUEST_BOUNDS.waitSecondsMax);
}
