import { each } from './processor-time.ts';
import type { ProcessorTime, Reading } from './processor-time.ts';

/** One kind of operation under measurement. */
export type Contestant = {
  readonly name: string;
  /** Runs the operation once; answers the milliseconds to report, by the name of the figure. */
  readonly once: () => Promise<Readonly<Record<string, number>>>;
  /** Clears away after a turn, unmeasured, what would slow all further ones. */
  readonly afterTurn?: () => Promise<void>;
};

export type Figures = {
  readonly name: string;
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  /** Operations a second over the time that this contestant was running; null for single figures. */
  readonly rate: number | null;
  /** Processor time of an operation, by part; what its work behind the answer takes included. */
  readonly processor: ProcessorTime;
};

/** Operations that one contestant runs before the next has its turn. */
const TURN = 20;

/**
 * Milliseconds between operations that stand alone (concurrency 1), for every contestant alike and
 * not counted: what an operation leaves running behind its answer must not slow the next one.
 */
const PAUSE_MS = 20;

/**
 * Runs all contestants in turns, so that what else the machine does falls on each alike, with
 * `concurrency` operations of one contestant under way at a time.
 */
export async function measure(
  contestants: readonly Contestant[],
  operations: number,
  concurrency: number,
  used?: (when: 'before' | 'after') => Promise<Reading>,
): Promise<readonly Figures[]> {
  const samples = new Map<string, number[]>();
  const busyMs = new Map<string, number>();
  const processor = new Map<string, ProcessorTime>();
  const turns = Math.ceil(operations / TURN);
  for (let turn = 0; turn < turns; turn++) {
    // Another order in each turn: nobody always runs behind the same neighbour.
    for (let nth = 0; nth < contestants.length; nth++) {
      const contestant = contestants[(nth + turn) % contestants.length] as Contestant;
      const before = await used?.('before');
      const started = performance.now();
      let pausedMs = 0;
      await inLanes(TURN, concurrency, async () => {
        if (concurrency === 1) pausedMs += (await timed(pause)).ms;
        for (const [figure, ms] of Object.entries(await contestant.once())) {
          const key = `${contestant.name}\u0000${figure}`;
          const list = samples.get(key) ?? [];
          list.push(ms);
          samples.set(key, list);
        }
      });
      const spent = performance.now() - started - pausedMs;
      busyMs.set(contestant.name, (busyMs.get(contestant.name) ?? 0) + spent);
      const after = await used?.('after');
      if (before && after) {
        const one = each(before, after, turns * TURN);
        processor.set(contestant.name, sumOf(processor.get(contestant.name) ?? {}, one));
      }
      await contestant.afterTurn?.();
    }
  }
  return [...samples].map(([key, list]) => figuresOf(key, list, busyMs, processor));
}

function sumOf(some: ProcessorTime, more: ProcessorTime): ProcessorTime {
  return Object.fromEntries(
    Object.entries(more).map(([part, ms]) => [part, ms + (some[part] ?? 0)]),
  );
}

function figuresOf(
  key: string,
  list: readonly number[],
  busyMs: ReadonlyMap<string, number>,
  processor: ReadonlyMap<string, ProcessorTime>,
): Figures {
  const [name = '', figure = ''] = key.split('\u0000');
  const sorted = [...list].sort((a, b) => a - b);
  const busy = busyMs.get(name) ?? 0;
  return {
    name: figure === '' ? name : `${name}: ${figure}`,
    count: list.length,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    rate: busy > 0 ? (list.length / busy) * 1000 : null,
    processor: processor.get(name) ?? {},
  };
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Runs `work` so many times, at most `concurrency` of it at once. */
export async function inLanes(
  count: number,
  concurrency: number,
  work: () => Promise<void>,
): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

/** Milliseconds that `work` takes, and its value. */
export async function timed<Value>(
  work: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly ms: number }> {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}
