import type { Answer } from './agent.ts';

/** One call of a load, with the instants of `performance.now()` between which it ran. */
export type Sent = {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly answer: Answer;
};

export type Pump = {
  /** Those that are answered by now. */
  done(): readonly Sent[];
  /** Sends nothing more; resolves when all are answered. */
  stop(): Promise<readonly Sent[]>;
};

/** Sends a call every `everyMs` milliseconds, however long the answers take. */
export function pump(everyMs: number, send: (n: number) => Promise<Answer>): Pump {
  const done: Sent[] = [];
  const all: Promise<void>[] = [];
  const next = () => {
    const sentAt = performance.now();
    all.push(
      send(all.length).then((answer) => {
        done.push({ sentAt, answeredAt: performance.now(), answer });
      }),
    );
  };
  next();
  const timer = setInterval(next, everyMs);
  return {
    done: () => [...done],
    async stop() {
      clearInterval(timer);
      await Promise.all(all);
      return done;
    },
  };
}

/** Median, 99th percentile and longest of some milliseconds, for people. */
export function distribution(ms: readonly number[]): string {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(1);
  return `median ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} (${sorted.length})`;
}
