import { describe, expect, test } from '@jest/globals';
import { simulate } from './simulate.ts';

const PROVE = process.env['MAYFLY_PROVE'] === '1';
/** `npm run simulate` runs as many as one likes; these are a slice of them. */
const SEEDS = PROVE ? 100 : 6;
const LIVES = PROVE ? 1_000 : 100;
const FIRST_SEED = 1;

describe('the use cases over models of ledger, backend and targets', () => {
  test(`${SEEDS} seeds of ${LIVES} lives from ${FIRST_SEED} break no invariant`, async () => {
    let granted = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const run = await simulate(seed, LIVES);
      expect({ seed, violations: run.violations }).toEqual({ seed, violations: [] });
      granted += run.answers.get('granted') ?? 0;
    }
    expect(granted).toBeGreaterThan((SEEDS * LIVES) / 4);
  }, 1_200_000);

  test('a seed gives the same run each time', async () => {
    const [one, other] = [await simulate(5, 40, true), await simulate(5, 40, true)];
    expect(other).toEqual(one);
    const different = await simulate(6, 40);
    expect(different.steps).not.toBe(one.steps);
  });
});
