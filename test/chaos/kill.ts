import { sleep } from './random.ts';
import { recipeFor } from './recipes.ts';
import type { Recipe } from './recipes.ts';
import { plantEarlyRisen, plantResidue, plantRisen, plantStranger } from './plants.ts';
import type { Replica } from './replica.ts';
import { someBroker } from './stage.ts';
import type { Stage } from './stage.ts';
import { count, killsOf, nextPoint } from './tally.ts';

/** Askers at a time that bring a broker to its point. */
const ASKERS = 2;

/** Share of fail points at which a broker is frozen and thawed instead of killed. */
const STOPPED = 0.06;

/** Milliseconds that a frozen broker stays so: also beyond mint deadlines and claims. */
const FROZEN_MS: readonly (readonly [number, number])[] = [
  [300, 3_000],
  [300, 3_000],
  [10_500, 12_000],
  [21_000, 23_000],
];

const POLL_MS = 50;
const PLANT_EVERY_MS = 2_000;
/** Milliseconds between two times that something is made due; every broker looks once a second. */
const DUE_EVERY_MS = 300;

/** Milliseconds after an orderly stop was asked for; a broker that takes longer is killed. */
const TERM_AFTER_MS = 400;

/** One broker, armed with one fail point, brought there, and gone. */
export async function killOnce(stage: Stage, replica: Replica): Promise<void> {
  const { random, tally, armed } = stage;
  const point = nextPoint(tally, stage);
  const recipe = recipeFor(point);
  armed.add(point);
  const action = random.chance(STOPPED) && !recipe.stop ? 'stop' : 'kill';
  const nth =
    recipe.first.length > 0 || recipe.stop || recipe.plant ? 1 : random.pick([1, 1, 2, 3]);
  const begun = Date.now();
  const after = point.endsWith('.sent') ? `~${random.between(0, 9)}` : '';
  try {
    await replica.start([...recipe.first, `${point}@${nth}:${action}${after}`]);
    if (point.startsWith('reconcile.')) await lapseReconciliation(stage);
    await bring(stage, replica, recipe, point);
    await conclude(stage, replica, point, action);
    if (HALF_CONFIRMED.test(point)) await confirmAgain(stage, replica);
    stage.say(`${point} ${action}: ${killsOf(tally)} kills, ${Date.now() - begun} ms`);
  } finally {
    armed.delete(point);
  }
}

/** Where a confirmation breaks off that has written its mark: every broker observes until the next. */
const HALF_CONFIRMED = /^confirm_ledger\.(record_events|raise_epoch)\./;
const CONFIRM_FOR_MS = 60_000;

/** As the operator does who got no answer: something else may have changed between two looks. */
async function confirmAgain(stage: Stage, replica: Replica): Promise<void> {
  const until = Date.now() + CONFIRM_FOR_MS;
  while (Date.now() < until) {
    if (await stage.lives.confirmLedger(someBroker(stage, replica))) return;
    await sleep(POLL_MS);
  }
}

/** Share of reconciliations for which the claim of a dead one is waited out. */
const WAITED_OUT = 0.15;

/** The one before may have died with its claim: mostly the run does not wait the 20 seconds. */
async function lapseReconciliation({ oracle, random }: Stage): Promise<void> {
  if (random.chance(WAITED_OUT)) return;
  await oracle
    .ledger(
      `update mayfly.reconciliation set claim_until = mayfly.ledger_now()
       where claim_until > mayfly.ledger_now()`,
    )
    .catch(() => undefined);
}

/** Whichever broker looks next has its turn, so it takes some turns until the armed one has. */
async function makeSelfCheckDue({ oracle }: Stage): Promise<void> {
  await oracle
    .ledger(`update mayfly.self_check set begun_at = mayfly.ledger_now() - interval '1 day'`)
    .catch(() => undefined);
}

/** Asks for what leads there, until the broker is gone or frozen, or the patience is over. */
async function bring(stage: Stage, replica: Replica, recipe: Recipe, point: string): Promise<void> {
  const until = Date.now() + recipe.patience * 1000;
  let frozen = false;
  const goesOn = () => replica.running() && !frozen && !stage.ending && Date.now() < until;
  const asking = Array.from({ length: recipe.ask.length > 0 ? ASKERS : 0 }, async () => {
    while (goesOn()) {
      const other = someBroker(stage, replica);
      const doors =
        recipe.at === 'exchange'
          ? { exchangeAt: replica.url, endAt: other }
          : { exchangeAt: other, endAt: replica.url };
      await stage.lives.live(stage.random.pick(recipe.ask), doors);
      await sleep(POLL_MS);
    }
  });
  if (recipe.plant === 'residue') void plantResidue(stage).catch(() => undefined);
  if (recipe.stop) setTimeout(() => replica.signal('SIGTERM'), TERM_AFTER_MS);
  let plantedAt = 0;
  let dueAt = 0;
  while (goesOn()) {
    if (recipe.due === 'self_check' && Date.now() - dueAt > DUE_EVERY_MS) {
      dueAt = Date.now();
      await makeSelfCheckDue(stage);
    }
    if (Date.now() - plantedAt > PLANT_EVERY_MS) {
      plantedAt = Date.now();
      if (recipe.plant === 'risen') await plantRisen(stage).catch(() => undefined);
      if (recipe.plant === 'orphans') {
        await Promise.allSettled([plantStranger(stage), plantEarlyRisen(stage)]);
      }
    }
    await Promise.race([replica.exited(), sleep(POLL_MS)]);
    frozen = (await replica.reached())?.point === point;
  }
  // What was asked of a dead or frozen broker ends by itself.
  void Promise.allSettled(asking);
}

async function conclude(
  { tally, random, record, ending }: Stage,
  replica: Replica,
  point: string,
  action: 'kill' | 'stop',
): Promise<void> {
  const there = (await replica.reached())?.point === point;
  if (there && action === 'kill') {
    await replica.exited();
    count(tally.kills, point);
    return;
  }
  if (there) {
    const [from, to] = random.pick(FROZEN_MS);
    await sleep(random.between(from, to));
    replica.signal('SIGCONT');
    count(tally.stops, point);
    await sleep(random.between(0, 1_500));
  } else if (!ending) {
    count(tally.missed, point);
  }
  if (!replica.running()) {
    if (!point.startsWith('stop.')) record.violate('a broker ended by itself', `armed: ${point}`);
    return;
  }
  replica.signal('SIGKILL');
  await replica.exited();
  count(tally.random, 'SIGKILL broker');
}
