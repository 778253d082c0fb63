import type { Clock } from './clock.ts';

/** Hands out a bounded number of turns per key; who comes later waits in line, but not for long. */
export type Turns = {
  /** A turn, which must be given back once; null when none came free in time, or the line is full. */
  take(key: string): Promise<(() => void) | null>;
};

type Line = { taken: number; readonly waiting: Waiter[] };
type Waiter = (turn: (() => void) | null) => void;

/**
 * @param waitMs milliseconds that one may wait in line.
 * @param lineMax how many may wait at a time; absent: whoever asks is bounded elsewhere.
 */
export function openTurns(
  limit: number,
  waitMs: number,
  clock: Pick<Clock, 'alarm'>,
  lineMax = Infinity,
): Turns {
  const lines = new Map<string, Line>();
  const giveBack = (key: string, line: Line) => {
    const next = line.waiting.shift();
    if (next !== undefined) {
      next(() => giveBack(key, line));
      return;
    }
    line.taken--;
    if (line.taken === 0) lines.delete(key);
  };
  return {
    take: (key) => {
      const line = lines.get(key) ?? { taken: 0, waiting: [] };
      lines.set(key, line);
      if (line.taken < limit) {
        line.taken++;
        return Promise.resolve(() => giveBack(key, line));
      }
      if (line.waiting.length >= lineMax) return Promise.resolve(null);
      return waitInLine(line, waitMs, clock);
    },
  };
}

function waitInLine(
  line: Line,
  waitMs: number,
  clock: Pick<Clock, 'alarm'>,
): Promise<(() => void) | null> {
  return new Promise((resolve) => {
    const giveUp = clock.alarm(waitMs, () => {
      const place = line.waiting.indexOf(waiter);
      if (place === -1) return;
      line.waiting.splice(place, 1);
      resolve(null);
    });
    const waiter: Waiter = (turn) => {
      giveUp();
      resolve(turn);
    };
    line.waiting.push(waiter);
  });
}
