import { systemClock } from '../../foundation/clock.ts';
import { print } from '../print.ts';
import { agentCalls } from './agent-calls.ts';
import { operatorView } from './operator-view.ts';
import { playOperator } from './play-operator.ts';
import { playRefusals } from './play-refusals.ts';
import { playTask } from './play-task.ts';
import { playVanished } from './play-vanished.ts';
import type { Stage } from './stage.ts';
import { createTelling } from './telling.ts';
import { openWitness } from './witness.ts';
import type { World } from './world.ts';

/**
 * Tells the story in a world: starts a broker and plays the four parts against it.
 *
 * @returns how many claims did not hold.
 */
export async function tellStory(world: World, hushed: AbortSignal): Promise<number> {
  print('Starting a broker (mayfly serve)');
  const broker = await world.startBroker();
  print(`  ledger    Postgres on port ${world.ledger.port}`);
  print(`  target    Postgres on port ${world.target.port}, database orders`);
  print(`  OpenBao   ${world.backend.address}`);
  print(`  identity  ${world.issuer}`);
  print(`  broker    ${broker.url}, process ${broker.pid}`);
  const witness = await openWitness(world);
  const stage: Stage = {
    world,
    witness,
    calls: agentCalls(broker.url),
    operator: operatorView(broker.url, () => world.operatorToken('mayfly-operators')),
    telling: createTelling(hushed),
    sleep: (ms) => systemClock.sleep(ms),
    monotonicMs: () => systemClock.monotonicMs(),
  };
  try {
    for (const play of [playTask, playVanished, playRefusals, playOperator]) await play(stage);
  } finally {
    await witness.close();
  }
  const { telling } = stage;
  if (hushed.aborted) return telling.failed();
  print();
  print(`${telling.held()} claims held, ${telling.failed()} did not.`);
  return telling.failed();
}
