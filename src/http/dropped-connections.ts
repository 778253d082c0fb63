import type { Server } from 'node:net';
import type { HttpParts } from './parts.ts';
import { SERVER_BOUNDS } from './server-bounds.ts';

/**
 * Counts and logs the connections that `server` drops above its bound: they get no answer, so nobody
 * else can say what became of them. The first is logged at once, those after it together.
 */
export function reportDrops(
  server: Server,
  { clock, log, metrics }: Pick<HttpParts, 'clock' | 'log' | 'metrics'>,
): void {
  let dropped = 0;
  let cancel: (() => void) | undefined;

  function logNew(): void {
    cancel = undefined;
    if (dropped === 0) return;
    const bound = SERVER_BOUNDS.connections;
    log.warn({ dropped, bound }, 'connections were dropped: as many as may be are open');
    dropped = 0;
    cancel = clock.alarm(SERVER_BOUNDS.dropsLoggedEveryMs, logNew);
  }

  server.on('drop', () => {
    metrics.connectionDropped();
    dropped += 1;
    if (!cancel) logNew();
  });
  server.on('close', () => cancel?.());
}
