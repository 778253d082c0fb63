import type { World } from '../../dist/commands/demo/world.js';
import { sleep } from './random.ts';
import type { Random } from './random.ts';
import type { Replica } from './replica.ts';
import type { Stage } from './stage.ts';
import { count } from './tally.ts';

type Server = 'backend' | 'ledger' | 'target';

const SERVERS: readonly Server[] = ['backend', 'ledger', 'target'];

/** Something at a random moment: a server or the steady broker killed or frozen, or a wire broken. */
export async function strike(stage: Stage, steady: Replica): Promise<void> {
  const { random } = stage;
  const roll = random.fraction();
  if (roll < 0.3) await killServer(stage, random.pick(SERVERS));
  else if (roll < 0.4) await freezeServer(stage, random.pick(SERVERS));
  else if (roll < 0.6) await killSteady(stage, steady);
  else if (roll < 0.7) await freezeSteady(stage, steady);
  else await breakWire(stage);
}

/** The target's absence is nobody's fault but its own: no bound counts that time. */
async function without(stage: Stage, server: Server, work: () => Promise<void>): Promise<void> {
  const back = server === 'target' ? stage.watch.outage() : () => undefined;
  try {
    await work();
  } finally {
    back();
  }
}

async function killServer(stage: Stage, name: Server): Promise<void> {
  const { random, tally, world } = stage;
  await without(stage, name, async () => {
    world[name].kill('SIGKILL');
    count(tally.random, `SIGKILL ${label(name)}`);
    await sleep(random.between(0, 1_500));
    await startAgain(world, name);
  });
}

/** What its killed processes still hold goes within moments. */
async function startAgain(world: World, name: Server): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await world[name].start();
      return;
    } catch (error) {
      if (attempt === 5) throw error;
      await sleep(500);
    }
  }
}

async function freezeServer(stage: Stage, name: Server): Promise<void> {
  const { random, tally, world } = stage;
  await without(stage, name, async () => {
    world[name].kill('SIGSTOP');
    count(tally.random, `SIGSTOP ${label(name)}`);
    await sleep(random.between(300, 4_000));
    world[name].kill('SIGCONT');
  });
}

function label(name: Server): string {
  return { backend: 'OpenBao', ledger: 'ledger', target: 'target' }[name];
}

/** Others may be dying at this moment, so its absence counts as nobody's. */
async function killSteady(stage: Stage, steady: Replica): Promise<void> {
  const back = stage.watch.outage();
  steady.signal('SIGKILL');
  await steady.exited();
  count(stage.tally.random, 'SIGKILL broker');
  await startSteady(steady);
  back();
}

async function freezeSteady(stage: Stage, steady: Replica): Promise<void> {
  const back = stage.watch.outage();
  steady.signal('SIGSTOP');
  count(stage.tally.random, 'SIGSTOP broker');
  await sleep(stage.random.pick([500, 2_000, 11_000, 22_000]));
  steady.signal('SIGCONT');
  back();
}

/** An ordinary broker; what it needs may be out of reach, so it may take several starts. */
export async function startSteady(replica: Replica): Promise<void> {
  while (!replica.running()) {
    await replica.start([]).catch(() => sleep(500));
  }
}

async function breakWire(stage: Stage): Promise<void> {
  const { random, tally } = stage;
  const link = random.pick(random.pick(stage.replicas).links);
  const how = random.pick(['reset', 'drop', 'delay', 'cut'] as const);
  count(tally.random, `wire: ${how}`);
  if (how === 'reset') link.reset();
  if (how === 'drop') link.drop();
  if (how === 'delay') link.delay(random.between(20, 400));
  if (how === 'cut') for (let n = random.between(1, 4); n > 0; n -= 1) link.cutNextAnswer();
  await sleep(wireMs(random));
  link.heal();
}

function wireMs(random: Random): number {
  return random.between(500, 3_000);
}
