import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { BOOKS_MS, ORDINARY_TTL, STRIKE_EVERY_MS, runChaos } from './chaos.ts';
import { POINTS } from './recipes.ts';
import { renderReport } from './report.ts';
import { newTally } from './tally.ts';
import type { Tally } from './tally.ts';

const HELP = `npm run chaos -- [options]
  --kills N           kills in all (200)
  --each N            kills of each fail point at least (0)
  --seed N            decides the plan (1)
  --minutes N         ends after this time in any case (120)
  --replicas N        brokers, one of them steady (5)
  --compare-every N   kills between two comparisons of the three books (100)
  --resume FILE       goes on with the counts of this file, and keeps them there
  --verbose           a line for every kill
  --report FILE       the report as JSON (chaos-results.json)
Ctrl-C ends it early, with the books compared and the report; a second one at once.`;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    each: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '120' },
    replicas: { type: 'string', default: '5' },
    'compare-every': { type: 'string', default: '100' },
    resume: { type: 'string' },
    report: { type: 'string', default: 'chaos-results.json' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

async function resumed(file: string | undefined): Promise<Tally> {
  const text = file === undefined ? undefined : await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? newTally(Number(values.seed)) : (JSON.parse(text) as Tally);
}

async function main(): Promise<void> {
  if (values.help) {
    console.log(HELP);
    return;
  }
  const { resume } = values;
  let ended = false;
  process.once('SIGINT', () => {
    ended = true;
    console.log('Ending: the books are compared once more (a minute or two).');
  });
  const report = await runChaos({
    tally: await resumed(resume),
    kills: Number(values.kills),
    each: Number(values.each),
    minutes: Number(values.minutes),
    replicas: Number(values.replicas),
    compareEvery: Number(values['compare-every']),
    points: POINTS,
    strikeEveryMs: STRIKE_EVERY_MS,
    booksMs: BOOKS_MS,
    ttl: ORDINARY_TTL,
    until: 'books',
    ...(values.verbose ? { say: (line: string) => console.log(line) } : {}),
    progress: (line) => console.log(line),
    ended: () => ended,
    saved: async (tally) => {
      if (resume !== undefined) await writeFile(resume, `${JSON.stringify(tally, null, 2)}\n`);
    },
  });
  console.log(`\n${renderReport(report)}`);
  await writeFile(values.report, `${JSON.stringify(report, null, 2)}\n`);
  process.exitCode = report.violations.length > 0 ? 1 : 0;
}

await main();
