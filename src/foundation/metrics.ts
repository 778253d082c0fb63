import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { FailureReason } from './failure.ts';

/** How many leases that are not closed there are by state, and those that wait for something, as the ledger counts. */
export type LeaseCounts = {
  readonly byState: Readonly<Record<string, number>>;
  readonly notDeadInTime: number;
  readonly notSettled: number;
  readonly residue: number;
  /** The ledger's clock when it counted. */
  readonly now: Date;
};

/** How many leases are closed, by state. */
export type ClosedLeases = Pick<LeaseCounts, 'byState' | 'now'>;

/** What is past the bounds of the two alarms at one target. */
export type LateCount = {
  readonly target: string;
  readonly notDeadInTime: number;
  readonly notSettled: number;
};

/** The three numbers of a reconciliation, by what was found. */
export type ReconcileNumbers = {
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
  /** The ledger's clock when it ended. */
  readonly endedAt: Date;
};

/**
 * What one replica counts, in plain calls. Durations are seconds. Labels hold only words of a
 * closed list (reasons, causes, states, routes) or names that operators declare (targets): never an
 * agent, a task or a lease, so that the number of series stays bounded, and never a secret.
 */
export type Metrics = {
  /** An exchange by a known agent was answered. */
  exchanged(outcome: 'granted' | FailureReason, seconds: number): void;
  /** An exchange was refused before an agent was known: counted here, not in the ledger. */
  refusedBeforeAgent(reason: FailureReason): void;
  minted(
    outcome: 'minted' | 'refused' | 'unsent' | 'unknown',
    target: string,
    seconds: number,
  ): void;
  /** A lease was fenced; `cause` is an end cause of the ledger. */
  ended(cause: string): void;
  /**
   * A lease was recorded as dead. `afterFence`: since it was fenced; `afterDeadline`: since its
   * deadline, negative where it died before.
   */
  died(death: {
    readonly cause: string;
    readonly revocability: string;
    readonly afterFence: number;
    readonly afterDeadline: number;
  }): void;
  /** The backend holds nothing of these leases any more. */
  settled(count: number): void;
  /** An attempt to end or settle a lease of this target failed and will be repeated. */
  late(target: string, work: 'end' | 'settle', reason: 'still_alive' | FailureReason): void;
  /** Work at this target is paused, since all of it fails there, or goes on again. */
  paused(work: 'end' | 'settle', target: string, isPaused: boolean): void;
  /** What is past the bounds of the two alarms, by target; what is not named has nothing. */
  lateTargets(targets: readonly LateCount[]): void;
  /** Names that the guard ended past their own deadline, without the ledger's help. */
  endedByName(target: string, count: number): void;
  /** A user was found at the target under a lease that is closed. */
  resurrected(): void;
  /** A reconciliation acted on something that ledger, backend and targets do not agree on. */
  reconciled(found: string, outcome: string): void;
  /** A reconciliation of this replica ended, could not, or was taken over by another (`lost`). */
  reconciliation(outcome: 'complete' | 'incomplete' | 'failed' | 'lost', seconds: number): void;
  /** What the last reconciliation of any replica found, and what of it is left. */
  reconcileNumbers(numbers: ReconcileNumbers): void;
  /** Whether this replica only observes, since its ledger may not be the one that went on. */
  observing(only: boolean): void;
  leaseCounts(counts: LeaseCounts): void;
  /** Counted apart from the others, and seldom. */
  closedLeases(counts: ClosedLeases): void;
  swept(outcome: 'ok' | 'failed', seconds: number): void;
  catalogueReloaded(outcome: 'ok' | 'failed'): void;
  /** This replica checked whether quarantine works. */
  selfChecked(outcome: 'ok' | 'failed'): void;
  /** When any replica last found that it does: seconds since the epoch, by the ledger's clock. */
  quarantineChecked(atSeconds: number): void;
  /** A clock minus the ledger's: of this `broker`, the `backend`, or the `target` of that name. */
  clockSkew(part: 'broker' | 'backend' | 'target', name: string, seconds: number): void;
  /** An HTTP request was answered; `route` is the pattern, never the path as sent. */
  answered(route: string, status: number, seconds: number): void;
  /** A connection was dropped unheard, since there are too many. */
  connectionDropped(): void;
  /** The exposition of all of it, in Prometheus' text format. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>;
};

/** Seconds; from a single call on loopback to a mint that hits its deadline. */
const DURATION_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Seconds past the deadline; the sweep runs every second, the alarms begin at some more. */
const LATENESS_BUCKETS = [0, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600];

/** A registry of its own for each call, so that two brokers in one process do not mix. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    ...exchangeMetrics(registry),
    ...endingMetrics(registry),
    ...leaseGauges(registry),
    ...operationMetrics(registry),
    ...reconcileMetrics(registry),
    render: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}

function exchangeMetrics(registry: Registry) {
  const exchanges = counter(registry, 'exchanges_total', 'Answered exchanges.', ['outcome']);
  const durations = histogram(registry, 'exchange_seconds', 'Time to answer an exchange.', [
    'granted',
  ]);
  const unknown = counter(registry, 'refused_before_agent_total', 'Refused, agent unknown.', [
    'reason',
  ]);
  const mints = counter(registry, 'mints_total', 'Mint requests by how they ended.', [
    'outcome',
    'target',
  ]);
  const mintDurations = histogram(registry, 'mint_seconds', 'Time of a mint request.', ['target']);
  return {
    exchanged(outcome, seconds) {
      exchanges.inc({ outcome });
      durations.observe({ granted: String(outcome === 'granted') }, seconds);
    },
    refusedBeforeAgent(reason) {
      unknown.inc({ reason });
    },
    minted(outcome, target, seconds) {
      mints.inc({ outcome, target });
      mintDurations.observe({ target }, seconds);
    },
  } satisfies Partial<Metrics>;
}

function endingMetrics(registry: Registry) {
  const endings = counter(registry, 'lease_endings_total', 'Leases fenced, by cause.', ['cause']);
  const deaths = counter(registry, 'lease_deaths_total', 'Leases recorded as dead.', [
    'cause',
    'revocability',
  ]);
  const afterFence = histogram(registry, 'fence_to_death_seconds', 'From fence to recorded death.');
  const afterDeadline = new Histogram({
    name: 'mayfly_death_after_deadline_seconds',
    help: 'How long after its deadline a lease was dead; those that died before are not counted.',
    buckets: LATENESS_BUCKETS,
    registers: [registry],
  });
  const settlings = counter(registry, 'leases_settled_total', 'Leases settled with the backend.');
  const lateness = counter(registry, 'late_attempts_total', 'Failed attempts to end or settle.', [
    'target',
    'work',
    'reason',
  ]);
  const byName = counter(registry, 'ended_by_name_total', 'Ended from the target alone.', [
    'target',
  ]);
  const back = counter(registry, 'resurrected_total', 'Users found under a closed lease.');
  return {
    ended: (cause) => endings.inc({ cause }),
    died(death) {
      deaths.inc({ cause: death.cause, revocability: death.revocability });
      afterFence.observe(Math.max(0, death.afterFence));
      if (death.afterDeadline >= 0) afterDeadline.observe(death.afterDeadline);
    },
    settled: (count) => settlings.inc(count),
    late: (target, work, reason) => lateness.inc({ target, work, reason }),
    endedByName: (target, count) => byName.inc({ target }, count),
    resurrected: () => back.inc(),
  } satisfies Partial<Metrics>;
}

function leaseGauges(registry: Registry) {
  const states = gauge(registry, 'leases', 'Leases by state.', ['state']);
  const notDead = gauge(registry, 'leases_not_dead_in_time', 'Alarm: alive past the bound.');
  const notSettled = gauge(registry, 'leases_not_settled', 'Alarm: dead, backend not settled.');
  const residue = gauge(registry, 'leases_residue', 'Dead leases with something left behind.');
  const late = gauge(registry, 'late_leases', 'Past the bound of an alarm, by target.', [
    'target',
    'alarm',
  ]);
  const pauses = gauge(registry, 'work_paused', '1: all of it fails there, only probes go.', [
    'target',
    'work',
  ]);
  const countedAt = gauge(
    registry,
    'leases_counted_timestamp_seconds',
    'When these were counted, but for settled and abandoned ones.',
  );
  const closedCountedAt = gauge(
    registry,
    'leases_closed_counted_timestamp_seconds',
    'When settled and abandoned leases were counted.',
  );
  const byState = (counts: Pick<LeaseCounts, 'byState'>) => {
    for (const [state, count] of Object.entries(counts.byState)) states.set({ state }, count);
  };
  return {
    leaseCounts(counts) {
      byState(counts);
      notDead.set(counts.notDeadInTime);
      notSettled.set(counts.notSettled);
      residue.set(counts.residue);
      countedAt.set(counts.now.getTime() / 1000);
    },
    closedLeases(counts) {
      byState(counts);
      closedCountedAt.set(counts.now.getTime() / 1000);
    },
    lateTargets(targets) {
      late.reset();
      for (const { target, notDeadInTime, notSettled } of targets) {
        late.set({ target, alarm: 'not_dead_in_time' }, notDeadInTime);
        late.set({ target, alarm: 'not_settled' }, notSettled);
      }
    },
    paused: (work, target, isPaused) => pauses.set({ target, work }, isPaused ? 1 : 0),
  } satisfies Partial<Metrics>;
}

function reconcileMetrics(registry: Registry) {
  const observing = gauge(registry, 'observing', 'Alarm: the ledger is not confirmed.');
  const found = gauge(registry, 'reconcile_found', 'Found by the last reconciliation.', [
    'found',
    'when',
  ]);
  const endedAt = gauge(
    registry,
    'reconcile_timestamp_seconds',
    'When the last reconciliation ended.',
  );
  const acts = counter(registry, 'reconcile_acts_total', 'Acts of reconciliations.', [
    'found',
    'outcome',
  ]);
  const passes = counter(registry, 'reconciliations_total', 'Reconciliations.', ['outcome']);
  const durations = histogram(registry, 'reconciliation_seconds', 'Time of a reconciliation.');
  return {
    observing: (only) => observing.set(only ? 1 : 0),
    reconciled: (what, outcome) => acts.inc({ found: what, outcome }),
    reconciliation(outcome, seconds) {
      passes.inc({ outcome });
      durations.observe(seconds);
    },
    reconcileNumbers({ before, after, endedAt: at }) {
      for (const [what, count] of Object.entries(before)) {
        found.set({ found: what, when: 'before' }, count);
      }
      for (const [what, count] of Object.entries(after)) {
        found.set({ found: what, when: 'after' }, count);
      }
      endedAt.set(at.getTime() / 1000);
    },
  } satisfies Partial<Metrics>;
}

function operationMetrics(registry: Registry) {
  const passes = counter(registry, 'sweep_passes_total', 'Passes of the sweep.', ['outcome']);
  const passDurations = histogram(registry, 'sweep_pass_seconds', 'Time of a pass.');
  const reloads = counter(registry, 'catalogue_reloads_total', 'Reloads of the catalogue.', [
    'outcome',
  ]);
  const skew = gauge(registry, 'clock_skew_seconds', "A clock minus the ledger's.", [
    'part',
    'name',
  ]);
  const checks = counter(registry, 'quarantine_selfcheck_total', 'Checks of quarantine.', [
    'outcome',
  ]);
  const checkedAt = gauge(
    registry,
    'quarantine_selfcheck_last_success_timestamp_seconds',
    'When quarantine was last found to work, by any replica.',
  );
  const answers = histogram(registry, 'http_request_seconds', 'HTTP requests.', [
    'route',
    'status',
  ]);
  const drops = counter(registry, 'connections_dropped_total', 'Connections above the bound.');
  return {
    swept(outcome, seconds) {
      passes.inc({ outcome });
      passDurations.observe(seconds);
    },
    catalogueReloaded: (outcome) => reloads.inc({ outcome }),
    selfChecked: (outcome) => checks.inc({ outcome }),
    quarantineChecked: (atSeconds) => checkedAt.set(atSeconds),
    clockSkew: (part, name, seconds) => skew.set({ part, name }, seconds),
    answered: (route, status, seconds) => answers.observe({ route, status }, seconds),
    connectionDropped: () => drops.inc(),
  } satisfies Partial<Metrics>;
}

function counter<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: Label[] = [],
): Counter<Label> {
  return new Counter({ name: `mayfly_${name}`, help, labelNames, registers: [registry] });
}

function gauge<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: Label[] = [],
): Gauge<Label> {
  return new Gauge({ name: `mayfly_${name}`, help, labelNames, registers: [registry] });
}

function histogram<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: Label[] = [],
): Histogram<Label> {
  const buckets = DURATION_BUCKETS;
  return new Histogram({
    name: `mayfly_${name}`,
    help,
    labelNames,
    buckets,
    registers: [registry],
  });
}
