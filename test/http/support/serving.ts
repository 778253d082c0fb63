import type { Broker } from '../../../src/broker/broker.ts';
import { systemClock } from '../../../src/foundation/clock.ts';
import { systemIds } from '../../../src/foundation/ids.ts';
import { createLog } from '../../../src/foundation/log.ts';
import { createMetrics } from '../../../src/foundation/metrics.ts';
import { createHttpServer } from '../../../src/http/server.ts';
import type { HttpOptions } from '../../../src/http/server.ts';
import { freePort } from '../../../src/embedded/loopback-port.ts';
import { standInBroker } from './stand-in-broker.ts';
import { OPERATOR_TOKEN, WORKLOAD_TOKEN } from './examples.ts';

const running: (() => Promise<void>)[] = [];

/** Stops what `serving` started; for `afterEach`. */
export async function stopAll(): Promise<void> {
  await Promise.all(running.splice(0).map((stop) => stop()));
}

/** A server on loopback over a broker of literals. */
export async function serving(
  changes: Partial<Broker> = {},
  options: Partial<HttpOptions> = {},
): Promise<Served> {
  const lines: string[] = [];
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}`;
  const metrics = createMetrics();
  const server = createHttpServer({
    broker: standInBroker(changes),
    publicUrl,
    limits: () => ({ requests_per_minute: 6000 }),
    log: createLog('debug', { write: (line: string) => void lines.push(line) }),
    metrics,
    ids: systemIds(systemClock),
    clock: systemClock,
    ...options,
  });
  await server.listen('127.0.0.1', port);
  running.push(() => server.stop(1000));
  return {
    url: publicUrl,
    port,
    lines,
    server,
    exposition: async () => (await metrics.render()).body,
    exchange: (form, init = {}) =>
      fetch(`${publicUrl}/exchange`, { method: 'POST', body: new URLSearchParams(form), ...init }),
  };
}

export type Served = {
  readonly url: string;
  readonly port: number;
  /** What was logged, a JSON object each. */
  readonly lines: readonly string[];
  readonly server: ReturnType<typeof createHttpServer>;
  readonly exposition: () => Promise<string>;
  readonly exchange: (
    form: Record<string, string> | [string, string][],
    init?: RequestInit,
  ) => Promise<Response>;
};

/** The least that makes an exchange. */
export const FORM = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token: WORKLOAD_TOKEN,
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  scope: 'orders-read',
};

export const asAgent = { Authorization: `Bearer ${WORKLOAD_TOKEN}` };
export const asOperator = { Authorization: `Bearer ${OPERATOR_TOKEN}` };

export async function jsonOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}
