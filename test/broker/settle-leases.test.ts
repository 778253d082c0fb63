import { describe, expect, test } from '@jest/globals';
import { endDue, nothingInHand } from '../../src/broker/end-due.ts';
import { SETTLINGS_AT_A_TIME } from '../../src/broker/margins.ts';
import { settleLeases } from '../../src/broker/settle-leases.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

async function endAt(world: World, target: string): Promise<void> {
  const tally = { claimed: 0, died: 0, settling: 0 };
  await endDue(world.parts, nothingInHand(), target, tally);
}

async function leases(world: World, count: number, target: string) {
  return Promise.all(Array.from({ length: count }, () => world.lease(target)));
}

describe('a target without a guard that fails as a whole', () => {
  test('is probed by one of the many that are claimed, and all go on when OpenBao is back', async () => {
    const world = modelParts();
    await leases(world, 100, 'legacy');
    world.pass(301);
    world.openBao.away = true;
    await endAt(world, 'legacy');
    expect(world.parts.circuits.settling.paused()).toMatchObject([{ target: 'legacy' }]);

    world.pass(20);
    world.openBao.revocations = 0;
    await endAt(world, 'legacy');
    expect(world.openBao.revocations).toBe(1);
    const reasons = world.all().map(({ lateReason }) => lateReason);
    expect(new Set(reasons)).toEqual(new Set(['the secret backend failed (no connection)']));

    world.openBao.away = false;
    world.pass(20);
    await endAt(world, 'legacy');
    world.pass(20);
    await endAt(world, 'legacy');
    expect(world.parts.circuits.settling.paused()).toEqual([]);
    expect(new Set(world.all().map(({ state }) => state))).toEqual(new Set(['settled']));
  });

  test('goes on where OpenBao is back without any of them', async () => {
    const world = modelParts();
    const lost = await leases(world, 12, 'legacy');
    world.pass(301);
    world.openBao.away = true;
    await endAt(world, 'legacy');
    world.openBao.away = false;
    for (const lease of lost) world.forget(lease);
    world.pass(20);
    await endAt(world, 'legacy');
    world.pass(20);
    await endAt(world, 'legacy');
    expect(world.parts.circuits.settling.paused()).toEqual([]);
    expect(new Set(world.all().map(({ state }) => state))).toEqual(new Set(['settled']));
  });
});

describe('leases of several targets that are settled in one call', () => {
  test('do not wait for a target at which settlings are paused', async () => {
    const world = modelParts();
    const dead = (count: number, target: string) =>
      Promise.all(Array.from({ length: count }, () => world.deadLease(target)));
    world.at('billing').away = true;
    const billing = await dead(4, 'billing');
    await settleLeases(world.parts, billing);
    expect(world.parts.circuits.settling.paused()).toMatchObject([{ target: 'billing' }]);
    const orders = await dead(6, 'orders');
    expect(await settleLeases(world.parts, [...billing, ...orders])).toBe(6);
    expect(orders.map((lease) => world.now(lease)?.state)).toEqual(Array(6).fill('settled'));
    expect(new Set(billing.map((lease) => world.now(lease)?.state))).toEqual(new Set(['revoked']));
  });

  test('all wait once OpenBao itself is away', async () => {
    const world = modelParts();
    world.openBao.away = true;
    const dead = [];
    for (const target of ['billing', 'orders']) {
      for (let n = 0; n < 8; n++) dead.push(await world.deadLease(target));
    }
    expect(await settleLeases(world.parts, dead)).toBe(0);
    // Those that were under way when the first answer came, and no more.
    expect(world.openBao.revocations).toBeLessThanOrEqual(SETTLINGS_AT_A_TIME);
  });
});
