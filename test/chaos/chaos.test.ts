import { expect, test } from '@jest/globals';
import { runChaos } from './chaos.ts';
import { POINTS, recipeFor } from './recipes.ts';
import { killsOf, newTally } from './tally.ts';

/** Decides the plan; printed, so that a failing run can be had again. */
const SEED = Number(process.env['MAYFLY_SEED'] ?? 4711);

/** The whole proof is `npm run chaos`. */
const KILLS = 3;

test('kills of anything at any step: no credential works in the end, no user is unknown', async () => {
  console.log(`seed ${SEED}`);
  const report = await runChaos({
    tally: newTally(SEED),
    kills: KILLS,
    each: 0,
    minutes: 0.5,
    replicas: 2,
    compareEvery: KILLS,
    points: POINTS.filter((point) => recipeFor(point).plant === undefined),
    strikeEveryMs: [100, 400],
    booksMs: 20_000,
    ttl: { ended: [3, 4], abandoned: [3, 3] },
    until: 'users',
  });
  expect(report.violations).toEqual([]);
  expect(killsOf(report.tally)).toBeGreaterThanOrEqual(KILLS);
  expect(report.triedAtEnd.refused).toBeGreaterThan(3);
}, 120_000);
