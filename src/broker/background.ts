import type { Clock } from '../foundation/clock.ts';
import type { Log } from '../foundation/log.ts';

/**
 * Work that goes on after its caller was answered: mints that must not be cut, endings that take
 * longer than the caller's wait, settlings. A graceful stop waits for it.
 */
export type Background = {
  /** Lets `work` go on; its failure is logged by kind and is nobody's answer. */
  run(what: string, work: () => Promise<unknown>): void;
  /** How many pieces of work are under way. */
  size(): number;
  /** Resolves when nothing is under way, or after `graceMs` milliseconds; says which. */
  drain(graceMs: number): Promise<'drained' | 'out_of_time'>;
};

export function createBackground(clock: Clock, log: Log): Background {
  const underWay = new Set<Promise<void>>();
  return {
    run(what, work) {
      const tracked: Promise<void> = settle(work).then((problem) => {
        underWay.delete(tracked);
        if (problem !== undefined) log.error({ what, problem }, 'work in the background failed');
      });
      underWay.add(tracked);
    },
    size: () => underWay.size,
    async drain(graceMs) {
      const outOfTime = new AbortController();
      const late = clock.sleep(graceMs, outOfTime.signal).then(() => 'late' as const);
      // Work may start further work (an ending its settling), so look again until nothing is left.
      while (underWay.size > 0) {
        const first = await Promise.race([Promise.allSettled([...underWay]), late]);
        if (first === 'late') return 'out_of_time';
      }
      outOfTime.abort();
      return 'drained';
    },
  };
}

/** Runs the work; answers the kind of its error, never its message, which may quote anything. */
async function settle(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.name : typeof error;
  }
}
