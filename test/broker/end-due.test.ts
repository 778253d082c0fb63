import { describe, expect, test } from '@jest/globals';
import { endDue, nothingInHand } from '../../src/broker/end-due.ts';
import { UNSEEN_AT_A_TIME } from '../../src/broker/margins.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

/** What a replica has in hand at a target, by default. */
const BATCH = 200;

const idle = () => new Promise((resolve) => setImmediate(resolve));

/** Long enough for all that waits for nothing but the models. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await idle();
}

async function due(
  world: World,
  count: number,
  proof: Lease['snapshot']['proof'],
  server = 'orders',
) {
  const leases = await Promise.all(
    Array.from({ length: count }, () => world.lease('orders', proof, server)),
  );
  world.pass(301);
  return leases;
}

/** A sweep of `orders` that no pass waits for. */
function sweepOf(world: World) {
  const inHand = nothingInHand();
  const tally = { claimed: 0, died: 0, settling: 0 };
  const catalogue = world.parts.catalogue.current();
  const limits = { ...catalogue.limits, sweep_batch: BATCH };
  const parts = {
    ...world.parts,
    catalogue: { ...world.parts.catalogue, current: () => ({ ...catalogue, limits }) },
  };
  const pass = async () => {
    world.pass(1);
    void endDue(parts, inHand, 'orders', tally);
    await settled();
  };
  return { inHand, pass };
}

function freeze({ openBao }: World): () => Promise<void> {
  let thaw: () => void = () => undefined;
  openBao.frozen = new Promise((resolve) => {
    thaw = resolve;
  });
  return () => (thaw(), settled());
}

const statesOf = (world: World, leases: readonly Lease[]) =>
  new Set(leases.map((lease) => world.now(lease)?.state));

const claimed = (world: World, leases: readonly Lease[]) =>
  leases.filter((lease) => world.now(lease)?.state !== 'active').length;

describe('leases that OpenBao alone ends, at a target whose guard is well', () => {
  test('hold up no other there while OpenBao says nothing', async () => {
    const world = modelParts();
    const { pass } = sweepOf(world);
    const thaw = freeze(world);
    const unproven = await due(world, 2, 'backend');
    await pass();
    const proven = await due(world, 3, 'target');
    await pass();
    expect(statesOf(world, proven)).toEqual(new Set(['revoked']));
    expect(statesOf(world, unproven)).toEqual(new Set(['revoking']));
    await thaw();
    expect(statesOf(world, [...unproven, ...proven])).toEqual(new Set(['settled']));
  });

  test('hold up none that was claimed with them, nor those behind', async () => {
    const world = modelParts();
    const { pass } = sweepOf(world);
    const thaw = freeze(world);
    const leases = await Promise.all(
      Array.from({ length: BATCH * 3 }, (_, n) =>
        world.lease('orders', n % 2 === 0 ? 'backend' : 'target'),
      ),
    );
    world.pass(301);
    await pass();
    const proven = leases.filter(({ snapshot }) => snapshot.proof === 'target');
    expect(proven.map((lease) => world.now(lease)?.revokedAt).includes(null)).toBe(false);
    await thaw();
    for (let second = 0; second < 5; second++) await pass();
    expect(leases.map((lease) => world.now(lease)?.revokedAt).includes(null)).toBe(false);
  });

  test('are claimed a batch at most while OpenBao says nothing', async () => {
    const world = modelParts();
    const { pass } = sweepOf(world);
    const thaw = freeze(world);
    const unproven = await due(world, BATCH * 3, 'backend');
    for (let second = 0; second < 10; second++) await pass();
    expect(claimed(world, unproven)).toBeLessThanOrEqual(BATCH);
    expect(claimed(world, unproven)).toBeGreaterThan(0);
    await thaw();
    for (let second = 0; second < 10; second++) await pass();
    expect(statesOf(world, unproven)).toEqual(new Set(['settled']));
  });

  test('are claimed no further once the process is going to end', async () => {
    const world = modelParts();
    const { inHand, pass } = sweepOf(world);
    const thaw = freeze(world);
    const unproven = await due(world, BATCH * 3, 'backend');
    await pass();
    inHand.stopping = true;
    const before = claimed(world, unproven);
    await thaw();
    await world.behind();
    expect(claimed(world, unproven)).toBe(before);
  });
});

describe('leases that a guard which is well never saw', () => {
  test('hold up no other there while OpenBao says nothing', async () => {
    const world = modelParts();
    const { pass } = sweepOf(world);
    const thaw = freeze(world);
    const unseen = await due(world, 2, 'target', 'billing');
    await pass();
    const proven = await due(world, 3, 'target');
    await pass();
    expect(statesOf(world, proven)).toEqual(new Set(['revoked']));
    expect(statesOf(world, unseen)).toEqual(new Set(['revoking']));
    await thaw();
    await pass();
    expect(unseen.map((lease) => world.now(lease)?.revocability)).toEqual(
      Array(2).fill('revocable'),
    );
    expect(unseen.map((lease) => world.now(lease)?.revokedAt).includes(null)).toBe(false);
  });

  test('are a batch at most of which OpenBao is asked, and all die', async () => {
    const world = modelParts();
    const { pass } = sweepOf(world);
    const thaw = freeze(world);
    const unseen = await due(world, BATCH * 3, 'target', 'billing');
    for (let second = 0; second < 30; second++) await pass();
    expect(world.openBao.revocations).toBeGreaterThan(0);
    expect(world.openBao.revocations).toBeLessThanOrEqual(UNSEEN_AT_A_TIME);
    await thaw();
    for (let second = 0; second < 60; second++) await pass();
    expect(unseen.map((lease) => world.now(lease)?.revokedAt).includes(null)).toBe(false);
  });
});
