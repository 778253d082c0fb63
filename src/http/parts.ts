import type { Broker } from '../broker/broker.ts';
import type { Limits } from '../catalogue/limits.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import type { Log } from '../foundation/log.ts';
import type { Metrics } from '../foundation/metrics.ts';

/** What the endpoints work with. */
export type HttpParts = {
  readonly broker: Broker;
  /** The address under which callers reach us; `issuer` of the metadata, exactly as it stands. */
  readonly publicUrl: string;
  /** The limits in force; asked at each request, since a reload may change them. */
  readonly limits: () => Pick<Limits, 'requests_per_minute'>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly ids: Ids;
  readonly clock: Clock;
};
