import { schedule } from 'node-cron';
import type { Clock } from '../foundation/clock.ts';
import { faultOf } from '../foundation/fault.ts';
import type { Log } from '../foundation/log.ts';

/** Six fields: the first is seconds. Deadlines are whole seconds, so passes fall on them. */
const EVERY_SECOND = '* * * * * *';

/** Milliseconds without a call after which the scheduler is taken to wait for another time of day. */
const STALLED_AFTER_MS = 1_500;

/** Milliseconds between two looks at that. */
const WATCH_EVERY_MS = 500;

/**
 * Calls `work` at each full second, never while an earlier call is under way. `work` must not
 * reject. The scheduler sleeps until a time of day: a wall clock that is set back by five minutes
 * would silence it for so long, so it is begun anew where the steady clock sees no call. The only
 * file that knows node-cron.
 */
export function everySecond(
  clock: Clock,
  log: Log,
  work: () => Promise<void>,
): { stop(): Promise<void> } {
  let calledAtMs = clock.monotonicMs();
  let underWay = false;
  const call = async () => {
    if (underWay) return;
    underWay = true;
    try {
      await work();
    } finally {
      underWay = false;
      calledAtMs = clock.monotonicMs();
    }
  };
  let task = begin(log, call);
  const watch = setInterval(() => {
    if (underWay || clock.monotonicMs() - calledAtMs < STALLED_AFTER_MS) return;
    calledAtMs = clock.monotonicMs();
    log.warn({}, 'the wall clock was set: the sweep is scheduled anew');
    void task.destroy();
    task = begin(log, call);
  }, WATCH_EVERY_MS);
  return {
    stop: async () => {
      clearInterval(watch);
      await task.destroy();
    },
  };
}

function begin(log: Log, call: () => Promise<void>) {
  return schedule(EVERY_SECOND, call, {
    name: 'sweep',
    timezone: 'UTC',
    noOverlap: true,
    logger: cronLogger(log),
    // A busy event loop skips seconds; what is due then is due in the next one as well.
    suppressMissedWarning: true,
  });
}

/** Its warnings are of overlaps: one a second for as long as a long pass runs, and no fault. */
function cronLogger(log: Log) {
  const line = (level: 'debug' | 'error') => (message: string | Error) => {
    if (message instanceof Error) log[level]({ fault: faultOf(message) }, 'scheduler');
    else log[level]({ scheduler: message }, 'scheduler');
  };
  return { info: line('debug'), debug: line('debug'), warn: line('debug'), error: line('error') };
}
