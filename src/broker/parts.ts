import type { CatalogueSource } from '../catalogue/catalogue.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import type { Log } from '../foundation/log.ts';
import type { Metrics } from '../foundation/metrics.ts';
import type { Authenticator } from '../identity/authenticator.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { BackendProbe, Minter, Reaper } from '../mint/backend.ts';
import type { PolicyEngine } from '../policy/decision.ts';
import type { TargetAccess } from '../target/target-access.ts';
import type { Background } from './background.ts';
import type { Circuits } from './circuits.ts';
import type { Backlog } from './backlog.ts';
import type { Denials } from './denials.ts';
import type { Waiting } from './waiting.ts';

/** The targets that this replica can look into. */
export type Targets = {
  /** Undefined where the target has no guard, or is not configured any more. */
  access(target: string): TargetAccess | undefined;
  names(): readonly string[];
};

/** Everything that the use cases work with. Each use case takes the few that it needs. */
export type BrokerParts = {
  readonly installation: string;
  readonly catalogue: CatalogueSource;
  /** The engine over the policies of the catalogue in force. */
  readonly policies: () => PolicyEngine;
  readonly authenticator: Authenticator;
  readonly ledger: Ledger;
  readonly minter: Minter;
  readonly reaper: Reaper;
  readonly probe: BackendProbe;
  readonly targets: Targets;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly background: Background;
  readonly backlog: Backlog;
  readonly denials: Denials;
  readonly circuits: Circuits;
  readonly waiting: Waiting;
};
