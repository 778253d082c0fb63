import { parseArgs } from 'node:util';
import { simulate } from './simulate.ts';
import type { Run } from './simulate.ts';

/**
 * `npm run simulate -- --seeds N --lives M --seed S`: N runs of M lives each, the first with seed S.
 * Ends with 1 at the first broken invariant, and shows how it came to it.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10' },
    lives: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    'keep-going': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const [seeds, lives, first] = [values.seeds, values.lives, values.seed].map(Number) as [
  number,
  number,
  number,
];
const began = performance.now();
let [steps, virtualMs, broken, longestMs] = [0, 0, 0, 0];
const answers = new Map<string, number>();
const faults = new Map<string, number>();
for (let seed = first; seed < first + seeds; seed++) {
  const run = await simulate(seed, lives);
  steps += run.steps;
  virtualMs += run.virtualMs;
  longestMs = Math.max(longestMs, run.longestMs);
  add(answers, run.answers);
  add(faults, run.faults);
  if (values.verbose) console.log(`seed ${seed}`, run.profile, run.answers, run.metrics);
  if (run.violations.length > 0) {
    broken++;
    await report(run);
    if (!values['keep-going']) break;
  } else {
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(
      `seed ${seed}: ${run.steps} steps, ${(run.virtualMs / 1000).toFixed(0)} s, ${seconds} s so far`,
    );
  }
}
const seconds = (performance.now() - began) / 1000;
console.log(
  `${seeds} seeds of ${lives} lives from ${first}: ${broken} broken; ${steps} steps in ${seconds.toFixed(1)} s, ` +
    `${Math.round(steps / seconds)} a second; ${(virtualMs / 3_600_000).toFixed(1)} h of virtual time; ` +
    `longest life past a deadline at a target that could be reached ${longestMs} ms`,
);
console.log('answers', Object.fromEntries(answers));
console.log('faults', Object.fromEntries(faults));
process.exitCode = broken > 0 ? 1 : 0;

function add(into: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [key, count] of counts) into.set(key, (into.get(key) ?? 0) + count);
}

async function report(run: Run): Promise<void> {
  const { trace } = await simulate(run.seed, lives, true);
  console.log(`\nseed ${run.seed}, ${lives} lives: BROKEN`);
  for (const line of trace) console.log(`  ${line}`);
  for (const { invariant, what, subject, atMs } of run.violations.slice(0, 5)) {
    console.log(`  ${invariant} at ${(atMs / 1000).toFixed(4)} s: ${what} (${subject})`);
  }
  console.log(`  again: npm run simulate -- --seeds 1 --lives ${lives} --seed ${run.seed}\n`);
}
