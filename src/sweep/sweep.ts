import type { Broker, SweepPass } from '../broker/broker.ts';
import { within } from '../foundation/clock.ts';
import type { Clock } from '../foundation/clock.ts';
import { faultOf } from '../foundation/fault.ts';
import type { Log } from '../foundation/log.ts';
import type { Metrics } from '../foundation/metrics.ts';
import { everySecond } from './every-second.ts';

/** Passes that follow each other at once while there is more; then the next second's turn comes. */
const PASSES_IN_A_ROW = 100;

/**
 * Milliseconds after which a pass is taken for stuck and another may begin beside it. Claims keep
 * the two apart, and one hung connection must not end all clock-driven work of a replica.
 */
const STUCK_AFTER_MS = 60_000;

/** Milliseconds between two counts of all leases for the gauges. */
const COUNT_EVERY_MS = 15_000;

/** Milliseconds that `stop` waits for a pass and a count under way; claims are handed over later. */
const STOP_WAIT_MS = 10_000;

type Parts = {
  readonly broker: Pick<Broker, 'sweep' | 'counts'>;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'swept' | 'leaseCounts'>;
  readonly clock: Clock;
};

export type Sweep = {
  /** No further pass or count begins; resolves when what is under way has ended, or after 10 seconds. */
  stop(): Promise<void>;
  /** One pass by hand, after the one under way if there is one. Rejects as the use case does. */
  passNow(): Promise<SweepPass>;
};

/** Runs the clock-driven half of the broker every second, on any number of replicas. */
export function startSweep(parts: Parts): Sweep {
  const { broker, clock, log, metrics } = parts;
  let stopped = false;
  let underWay: Promise<unknown> = Promise.resolve();
  let countedAtMs = -COUNT_EVERY_MS;
  let counting: Promise<void> | undefined;

  async function pass(): Promise<SweepPass> {
    const begun = clock.monotonicMs();
    const seconds = () => (clock.monotonicMs() - begun) / 1000;
    try {
      const done = await broker.sweep();
      metrics.swept('ok', seconds());
      if (isWorthALine(done)) log.info({ ...done, seconds: seconds() }, 'swept');
      return done;
    } catch (thrown) {
      metrics.swept('failed', seconds());
      throw thrown;
    }
  }

  async function count(): Promise<void> {
    try {
      metrics.leaseCounts(await broker.counts());
    } catch (thrown) {
      log.error({ fault: faultOf(thrown) }, 'leases were not counted; it is tried again');
    }
  }

  /** Behind the passes: a ledger that says nothing must not hold up the next look for names. */
  function countWhenDue(): void {
    if (counting !== undefined || clock.monotonicMs() - countedAtMs < COUNT_EVERY_MS) return;
    countedAtMs = clock.monotonicMs();
    counting = count().finally(() => {
      counting = undefined;
    });
  }

  async function turn(): Promise<void> {
    try {
      for (let passes = 0; passes < PASSES_IN_A_ROW && !stopped; passes++) {
        if (!(await pass()).more) break;
      }
      if (!stopped) countWhenDue();
    } catch (thrown) {
      log.error({ fault: faultOf(thrown) }, 'sweep pass failed; the next second tries again');
    }
  }

  const timer = everySecond(clock, log, async () => {
    const current = turn();
    underWay = current;
    if ((await withinMs(clock, current, STUCK_AFTER_MS)) === 'late') {
      log.error({ afterMs: STUCK_AFTER_MS }, 'sweep pass is stuck; going on beside it');
    }
  });

  return {
    async stop() {
      stopped = true;
      await timer.stop();
      await withinMs(clock, Promise.all([underWay, counting]), STOP_WAIT_MS);
    },
    async passNow() {
      await underWay;
      const current = pass();
      underWay = current.catch(() => undefined);
      return current;
    },
  };
}

function isWorthALine(pass: SweepPass): boolean {
  return Object.values(pass).some((figure) => typeof figure === 'number' && figure > 0);
}

async function withinMs(
  clock: Clock,
  work: Promise<unknown>,
  ms: number,
): Promise<'done' | 'late'> {
  const done = work.then(() => 'done' as const);
  return (await within(clock, ms, done)) ?? 'late';
}
