import { schedule } from 'node-cron';
import { faultOf } from '../foundation/fault.ts';
import type { Log } from '../foundation/log.ts';

/** Six fields: the first is seconds. Deadlines are whole seconds, so passes fall on them. */
const EVERY_SECOND = '* * * * * *';

/**
 * Calls `work` at each full second, never while an earlier call is under way. `work` must not
 * reject. The only file that knows node-cron.
 */
export function everySecond(log: Log, work: () => Promise<void>): { stop(): Promise<void> } {
  const task = schedule(EVERY_SECOND, work, {
    name: 'sweep',
    timezone: 'UTC',
    noOverlap: true,
    logger: cronLogger(log),
    // A busy event loop skips seconds; what is due then is due in the next one as well.
    suppressMissedWarning: true,
  });
  return {
    stop: async () => {
      await task.destroy();
    },
  };
}

/** Its warnings are of overlaps: one a second for as long as a long pass runs, and no fault. */
function cronLogger(log: Log) {
  const line = (level: 'debug' | 'error') => (message: string | Error) => {
    if (message instanceof Error) log[level]({ fault: faultOf(message) }, 'scheduler');
    else log[level]({ scheduler: message }, 'scheduler');
  };
  return { info: line('debug'), debug: line('debug'), warn: line('debug'), error: line('error') };
}
