import { describe, expect, test } from '@jest/globals';
import { createBacklog } from '../../src/broker/backlog.ts';
import type { BrokerParts } from '../../src/broker/parts.ts';
import { liftPauses } from '../../src/broker/lift-pauses.ts';
import { nothingUnderWay, revokeDue } from '../../src/broker/revoke-due.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import { death } from '../ledger/support/examples.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

/** A sweep of all targets, and what its replica shows of them. */
function sweepOf(world: World) {
  const gone = new Set<string>();
  const { ledger, targets } = world.parts;
  let dueTargets: Ledger['dueTargets'] = (countUpTo) => ledger.dueTargets(countUpTo);
  const parts: BrokerParts = {
    ...world.parts,
    backlog: createBacklog(),
    ledger: { ...ledger, dueTargets: (countUpTo) => dueTargets(countUpTo) },
    targets: {
      access: (name) => (gone.has(name) ? undefined : targets.access(name)),
      names: () => targets.names().filter((name) => !gone.has(name)),
    },
  };
  const underWay = nothingUnderWay();
  return {
    parts,
    /** What the ledger answers from now on. */
    answer: (answer: Ledger['dueTargets']) => (dueTargets = answer),
    /** Takes the target out of the catalogue. */
    remove: (target: string) => void gone.add(target),
    pass: async () => {
      world.pass(1);
      await revokeDue(parts, underWay);
      await world.behind();
    },
    paused: () => parts.circuits.ending.paused().map(({ target }) => target),
    gauge: async () =>
      (await world.parts.metrics.render()).body.match(/mayfly_work_paused\{.*\} \d/g),
  };
}

/** One that its guard could not end, so that this replica has paused there. */
async function late(world: World, sweep: ReturnType<typeof sweepOf>): Promise<Lease> {
  const lease = await world.lease('orders');
  world.at('orders').away = true;
  world.pass(301);
  await sweep.pass();
  expect(sweep.paused()).toEqual(['orders']);
  return lease;
}

/** As another replica does, which the target answers. */
const endElsewhere = (world: World, lease: Lease) =>
  world.parts.ledger.recordDeaths([death(lease.id)]);

describe('a pause of endings that no ending of this replica will end', () => {
  test('is over where nothing waits for the guard any more, which answers', async () => {
    const world = modelParts();
    const sweep = sweepOf(world);
    const lease = await late(world, sweep);
    await endElsewhere(world, lease);
    // Nothing has answered yet.
    for (let second = 0; second < 5; second++) await sweep.pass();
    expect(sweep.paused()).toEqual(['orders']);

    world.at('orders').away = false;
    await sweep.pass();
    await sweep.pass();
    expect(sweep.paused()).toEqual([]);
    expect(await sweep.gauge()).toEqual(['mayfly_work_paused{target="orders",work="end"} 0']);
  });

  test('goes on while the guard answers looks, and what it has to end waits', async () => {
    const world = modelParts();
    const sweep = sweepOf(world);
    await late(world, sweep);
    world.at('orders').away = false;
    // It is another replica's for now, so that there is nothing to probe with.
    await world.parts.ledger.claimDue('end', 'orders', 1);
    const { guard, prover } = sweep.parts.targets.access('orders') ?? {};
    if (!guard || !prover) throw new Error('it has a guard');
    guard.end = () => Promise.reject(new Error('permission denied'));
    for (let second = 0; second < 40; second++) await sweep.pass();
    expect(sweep.paused()).toEqual(['orders']);
  });

  test('goes on while more waits than is counted', async () => {
    const world = modelParts();
    const sweep = sweepOf(world);
    const lease = await late(world, sweep);
    await endElsewhere(world, lease);
    world.at('orders').away = false;
    const rest = { toProve: false, toEnd: false, toSettle: false };
    sweep.answer((countUpTo) =>
      Promise.resolve([{ target: 'orders', backlog: countUpTo, ...rest }]),
    );
    for (let second = 0; second < 3; second++) await sweep.pass();
    expect(sweep.paused()).toEqual(['orders']);
    sweep.answer((countUpTo) => world.parts.ledger.dueTargets(countUpTo));
    await sweep.pass();
    expect(sweep.paused()).toEqual([]);
  });

  test('goes on where the ledger was asked before what failed', async () => {
    const world = modelParts();
    const sweep = sweepOf(world);
    const lease = await late(world, sweep);
    await endElsewhere(world, lease);
    world.at('orders').away = false;
    sweep.answer(async (countUpTo) => {
      const due = await world.parts.ledger.dueTargets(countUpTo);
      world.pass(1);
      // Fenced by a caller since, and tried.
      sweep.parts.circuits.ending.failed('orders', 'permission denied');
      world.pass(1);
      sweep.parts.circuits.looking.succeeded('orders');
      return due;
    });
    await sweep.pass();
    expect(sweep.paused()).toEqual(['orders']);
    sweep.answer((countUpTo) => world.parts.ledger.dueTargets(countUpTo));
    await sweep.pass();
    expect(sweep.paused()).toEqual([]);
  });

  test('is not over by a look that came before it, or long ago', () => {
    const { parts, pass } = modelParts();
    const { ending, looking } = parts.circuits;
    const lift = () => {
      const askedAtMs = parts.clock.monotonicMs();
      liftPauses(parts, { due: [], limit: 100, askedAtMs });
      return ending.paused().length;
    };
    looking.succeeded('orders');
    pass(1);
    ending.failed('orders', 'no connection');
    pass(1);
    expect(lift()).toBe(1);
    looking.succeeded('orders');
    // As where packets are dropped since: it neither fails nor answers.
    pass(3);
    expect(lift()).toBe(1);
    looking.succeeded('orders');
    looking.failed('orders', 'no connection');
    expect(lift()).toBe(1);
    looking.succeeded('orders');
    expect(lift()).toBe(0);
  });

  test('is over where the target has left the catalogue', async () => {
    const world = modelParts();
    const sweep = sweepOf(world);
    await late(world, sweep);
    sweep.remove('orders');
    await sweep.pass();
    expect(sweep.paused()).toEqual([]);
    expect(await sweep.gauge()).toEqual(['mayfly_work_paused{target="orders",work="end"} 0']);
  });
});
