import { describe, expect, test } from '@jest/globals';
import { nothingInHand } from '../../src/broker/end-due.ts';
import { RESIDUES_PER_PASS } from '../../src/broker/margins.ts';
import { retryResidue } from '../../src/broker/retry-residue.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

async function residues(world: World, count: number, target: string) {
  return Promise.all(Array.from({ length: count }, () => world.residue(target)));
}

/** Lets all that waits for nothing but itself go on. */
const idle = () => new Promise<void>((resolve) => void setImmediate(resolve));

describe('a residue', () => {
  test('stands while its name cannot be ended, and is gone when the role is dropped', async () => {
    const world = modelParts();
    const [lease] = await residues(world, 1, 'orders');
    if (!lease) throw new Error('no lease');
    const { model } = world.at('orders');
    const role = model.roles.get(lease.credentialName);
    if (!role) throw new Error('no role');
    model.login(lease.credentialName);
    role.stubbornUntilMs = Infinity;
    const inHand = nothingInHand();
    world.pass(61);
    await retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    expect(world.now(lease)).toMatchObject({ residue: lease.residue, claimUntil: null });

    role.stubbornUntilMs = 0;
    world.pass(61);
    await retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    expect(world.now(lease)?.residue).toBeNull();
  });
});

describe('a frozen target', () => {
  test('holds up no other, and no second run is begun beside the first', async () => {
    const world = modelParts();
    const orders = await residues(world, RESIDUES_PER_PASS - 1, 'orders');
    world.pass(1);
    const [billing] = await residues(world, 1, 'billing');
    world.pass(1);
    const later = await residues(world, 5, 'orders');
    world.pass(61);
    let thaw: () => void = () => undefined;
    world.at('orders').frozen = new Promise((resolve) => (thaw = resolve));
    const inHand = nothingInHand();
    const run = retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    const beside = retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    await idle();
    expect(billing && world.now(billing)?.residue).toBeNull();
    expect(world.at('orders').endings).toBe(1);
    expect(later.map((lease) => world.now(lease)?.claimUntil)).toEqual(Array(5).fill(null));
    thaw();
    await Promise.all([run, beside]);
    expect(orders.map((lease) => world.now(lease)?.residue)).toEqual(orders.map(() => null));
    await retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    expect(world.all().filter(({ residue }) => residue !== null)).toEqual([]);
  });

  test('gets a probe alone; the others are put off, and nothing stays claimed', async () => {
    const world = modelParts();
    const orders = await residues(world, 5, 'orders');
    world.at('orders').away = true;
    const inHand = nothingInHand();
    world.pass(61);
    await retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    expect(world.at('orders').endings).toBe(1);
    const open = { residue: 'other objects depend on it', claimUntil: null };
    for (const lease of orders) expect(world.now(lease)).toMatchObject(open);
    expect(await world.parts.ledger.claimResidue(RESIDUES_PER_PASS)).toEqual([]);

    world.at('orders').away = false;
    world.pass(61);
    await retryResidue(world.parts, inHand, RESIDUES_PER_PASS);
    expect(world.parts.circuits.ending.paused()).toEqual([]);
    expect(orders.map((lease) => world.now(lease)?.residue)).toEqual(orders.map(() => null));
  });
});
