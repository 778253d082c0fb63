import { POINTS, recipeFor } from './recipes.ts';
import type { Random } from './random.ts';

/** What was done so far; kept in a file, so that a run can go on where it was ended. */
export type Tally = {
  readonly seed: number;
  /** SIGKILL at this fail point, by itself. */
  readonly kills: Record<string, number>;
  /** SIGSTOP at this fail point, thawed later. */
  readonly stops: Record<string, number>;
  /** Armed, and not reached in time. */
  readonly missed: Record<string, number>;
  /** At random moments, by what was done to whom. */
  readonly random: Record<string, number>;
  seconds: number;
  leasesOpened: number;
  handed: number;
};

export function newTally(seed: number): Tally {
  return {
    seed,
    kills: {},
    stops: {},
    missed: {},
    random: {},
    seconds: 0,
    leasesOpened: 0,
    handed: 0,
  };
}

export function count(of: Record<string, number>, key: string): void {
  of[key] = (of[key] ?? 0) + 1;
}

export function sum(of: Readonly<Record<string, number>>): number {
  return Object.values(of).reduce((total, one) => total + one, 0);
}

/** Everything that was killed: brokers at fail points, and anything at random moments. */
export function killsOf(tally: Tally): number {
  const random = Object.entries(tally.random).filter(([what]) => what.startsWith('SIGKILL'));
  return sum(tally.kills) + sum(Object.fromEntries(random));
}

export function fewest(tally: Tally): number {
  return Math.min(...POINTS.map((point) => tally.kills[point] ?? 0));
}

type Choice = {
  readonly points: readonly string[];
  readonly each: number;
  readonly armed: ReadonlySet<string>;
  readonly random: Random;
};

/** Misses count a little, so that a point out of reach does not hold up the others. */
const MISS_WEIGHT = 0.5;

/** Patience in seconds above which a point keeps its broker busy for long. */
const LONG = 25;

/**
 * One reconciliation runs at a time, and points that take long would soon hold every broker: of
 * each kind one is armed at a time.
 */
function standsInLine(point: string, armed: ReadonlySet<string>): boolean {
  const kind = lineOf(point);
  return kind !== undefined && [...armed].some((other) => lineOf(other) === kind);
}

function lineOf(point: string): 'reconcile' | 'long' | undefined {
  if (point.startsWith('reconcile.')) return 'reconcile';
  return recipeFor(point).patience > LONG ? 'long' : undefined;
}

/**
 * The next point to arm: one that was killed at least often, and that nobody is armed with. Those that
 * were not killed `each` times yet go before all others, however often they were missed.
 */
export function nextPoint(tally: Tally, { points, each, armed, random }: Choice): string {
  const weigh = (point: string) =>
    (tally.kills[point] ?? 0) + (tally.missed[point] ?? 0) * MISS_WEIGHT;
  const all = points.filter((point) => !armed.has(point) && !standsInLine(point, armed));
  const lacking = all.filter((point) => (tally.kills[point] ?? 0) < each);
  const free = lacking.length > 0 ? lacking : all;
  const least = Math.min(...free.map(weigh));
  return random.pick(free.filter((point) => weigh(point) <= least));
}
