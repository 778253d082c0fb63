import { readFile } from 'node:fs/promises';
import { freePorts } from './ports.ts';
import { compareBooks } from './books.ts';
import type { Comparison } from './books.ts';
import { startSteady, strike } from './calamity.ts';
import { killOnce } from './kill.ts';
import { agents } from './lives.ts';
import type { Ttl } from './lives.ts';
import { loggedErrors } from './logged.ts';
import { openOracle } from './oracle.ts';
import { openPlace } from './place.ts';
import { plantBackendLease, plantMissing, preparePlants, pullPlants } from './plants.ts';
import { seeded, sleep } from './random.ts';
import { POINTS, RECONCILES } from './recipes.ts';
import { openRecord } from './record.ts';
import type { Violation } from './record.ts';
import { openReplica } from './replica.ts';
import { someBroker } from './stage.ts';
import type { Stage } from './stage.ts';
import { fewest, killsOf } from './tally.ts';
import type { Tally } from './tally.ts';
import { tryEverything } from './try-everything.ts';
import { startWatch } from './watch.ts';
import type { Watch } from './watch.ts';

export type ChaosOptions = {
  readonly tally: Tally;
  /** Kills in all, those of earlier parts of a resumed run included. */
  readonly kills: number;
  /** Kills of each fail point at least; 0: as many as there is time for. */
  readonly each: number;
  readonly minutes: number;
  /** Brokers: one that is steady, and the others armed one after the other. */
  readonly replicas: number;
  /** Kills between two comparisons of the books. */
  readonly compareEvery: number;
  readonly points: readonly string[];
  readonly strikeEveryMs: readonly [number, number];
  /** Milliseconds that the books have to come to an agreement, once nothing is broken any more. */
  readonly booksMs: number;
  /** Seconds that a credential lives: of tasks that are ended, and of abandoned ones. */
  readonly ttl: Ttl;
  /** `users`: what OpenBao still has to forget by itself is left alone, in a run of seconds. */
  readonly until: 'books' | 'users';
  readonly progress?: (line: string) => void;
  /** Told every single kill. */
  readonly say?: (line: string) => void;
  readonly saved?: (tally: Tally) => Promise<void>;
  /** True once somebody wants it to end: what is armed is ended, the books are compared, and it reports. */
  readonly ended?: () => boolean;
};

export type ChaosReport = {
  readonly tally: Tally;
  readonly comparisons: readonly Comparison[];
  readonly violations: readonly Violation[];
  readonly longest: Watch['longest'];
  readonly looks: number;
  /** Of all credentials ever handed out in this part, tried at the end. */
  readonly triedAtEnd: {
    readonly refused: number;
    readonly works: number;
    readonly unknown: number;
  };
  readonly triedOnTheWay: Readonly<Record<string, number>>;
  readonly answers: Readonly<Record<string, number>>;
  /** What brokers logged as errors, by what they said. */
  readonly errors: Readonly<Record<string, number>>;
  readonly minutes: number;
  readonly killsHere: number;
};

/** Background lives at a time, and the pause of each after a life, milliseconds. */
const LANES = 4;
const PAUSE_MS: readonly [number, number] = [50, 500];

const OPERATIONS = [
  ...Array<'complete'>(8).fill('complete'),
  ...Array<'abandon'>(6).fill('abandon'),
  'revoke_lease',
  'revoke_task',
  'hand_back',
  'give_up',
  'denied',
  'retry',
] as const;

/** Milliseconds between two strikes at random moments. */
export const STRIKE_EVERY_MS: readonly [number, number] = [3_000, 8_000];

/** Milliseconds between two things that a reconciliation is to find. */
const ORPHAN_EVERY_MS = 2_000;

/** How long the longest token lives that was made meanwhile, and some more. */
export const BOOKS_MS = 150_000;

/** Seconds: long enough that most tasks are ended before, and that deadlines come all the time. */
export const ORDINARY_TTL: Ttl = { ended: [8, 20], abandoned: [3, 7] };

/** Kills, and strikes beside them, until enough was killed or the time is over. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { tally } = options;
  const place = await openPlace();
  const stage = await openStage(place.world, options);
  const begun = Date.now();
  const before = killsOf(tally);
  const { seconds: secondsBefore, leasesOpened: openedBefore, handed: handedBefore } = tally;
  const comparisons: Comparison[] = [];
  try {
    const enough = () =>
      stage.done ||
      options.ended?.() === true ||
      (killsOf(tally) >= options.kills && fewest(tally) >= options.each) ||
      Date.now() - begun > options.minutes * 60_000;
    while (!enough()) {
      const soon = killsOf(tally) + options.compareEvery;
      const next = killsOf(tally) < options.kills ? Math.min(soon, options.kills) : soon;
      await oneStretch(stage, options, () => enough() || killsOf(tally) >= next);
      if (enough()) await pullPlants(stage).catch(() => undefined);
      const comparison = await compareBooks(stage, killsOf(tally), options);
      comparisons.push(comparison);
      tally.seconds = secondsBefore + (Date.now() - begun) / 1000;
      tally.leasesOpened = openedBefore + (await stage.oracle.leasesOpened());
      tally.handed = handedBefore + stage.record.handed.length;
      options.progress?.(progressLine(tally, comparison));
      await options.saved?.(tally);
    }
    const triedAtEnd = await tryEverything(stage);
    return {
      tally,
      comparisons,
      violations: stage.record.violations,
      longest: stage.watch.longest,
      looks: stage.watch.looks(),
      triedAtEnd,
      triedOnTheWay: stage.record.tries,
      answers: Object.fromEntries(stage.record.answers),
      errors: await loggedErrors(place.world.folder),
      minutes: (Date.now() - begun) / 60_000,
      killsHere: killsOf(tally) - before,
    };
  } finally {
    await closeStage(stage);
    await place.stop(stage.record.violations.length > 0);
  }
}

async function openStage(world: Stage['world'], options: ChaosOptions): Promise<Stage> {
  const random = seeded(options.tally.seed + killsOf(options.tally));
  const record = openRecord();
  const oracle = openOracle(world);
  const ports = await freePorts(options.replicas);
  const ledgerUrl = (await readFile(world.settings['MAYFLY_LEDGER_URL_FILE'] ?? '', 'utf8')).trim();
  const replicas = await Promise.all(ports.map((port) => openReplica(world, port, ledgerUrl)));
  await preparePlants({ oracle });
  if (replicas[0]) await startSteady(replicas[0]);
  return {
    world,
    random,
    replicas,
    record,
    oracle,
    lives: agents(world, random, record, options.ttl),
    watch: startWatch(oracle, record),
    tally: options.tally,
    points: options.points,
    each: options.each,
    armed: new Set(),
    say: options.say ?? (() => undefined),
    ending: false,
    done: false,
  };
}

/** Kills until `over`, then heals everything and leaves ordinary brokers behind. */
async function oneStretch(stage: Stage, options: ChaosOptions, over: () => boolean): Promise<void> {
  const [steady, ...others] = stage.replicas;
  if (!steady) throw new Error('there must be brokers');
  stage.ending = false;
  const goesOn = () => {
    stage.ending ||= over();
    return !stage.ending;
  };
  await Promise.all([
    ...others.map(async (replica) => {
      if (replica.running()) replica.signal('SIGTERM');
      await replica.exited();
      while (goesOn()) await killOnce(stage, replica).catch(() => sleep(300));
      if (options.until === 'books') await startSteady(replica);
    }),
    ...Array.from({ length: LANES }, async () => {
      while (goesOn()) {
        const doors = { exchangeAt: someBroker(stage), endAt: someBroker(stage) };
        await stage.lives.live(stage.random.pick(OPERATIONS), doors);
        await sleep(stage.random.between(...PAUSE_MS));
      }
    }),
    (async () => {
      // What a reconciliation finds must be old by then, so it is planted all the time.
      const plants = RECONCILES && options.until === 'books';
      for (let turn = 0; plants && goesOn(); turn += 1) {
        await (turn % 2 === 0 ? plantBackendLease : plantMissing)(stage).catch(() => undefined);
        await sleep(ORPHAN_EVERY_MS);
      }
    })(),
    (async () => {
      while (goesOn()) {
        await sleep(stage.random.between(...options.strikeEveryMs));
        if (goesOn()) await strike(stage, steady);
      }
      await startSteady(steady);
    })(),
  ]);
  for (const link of stage.replicas.flatMap((replica) => replica.links)) link.heal();
}

async function closeStage(stage: Stage): Promise<void> {
  stage.done = true;
  await stage.watch.stop();
  await stage.lives.close();
  await stage.oracle.close();
  for (const replica of stage.replicas) {
    replica.signal('SIGKILL');
    await replica.close();
  }
}

function progressLine(tally: Tally, { before, after, seconds }: Comparison): string {
  const pace = tally.seconds / Math.max(1, killsOf(tally));
  return (
    `${killsOf(tally)} kills, each point ${fewest(tally)}+, of ${POINTS.length} points, ` +
    `${pace.toFixed(2)} s a kill, ${tally.leasesOpened} leases; unknown before ` +
    `${before.usersUnknown}/${before.leasesUnknown}, after ${after.usersUnknown}/${after.leasesUnknown} ` +
    `(users/leases), clean in ${seconds.toFixed(0)} s`
  );
}
