import { describe, expect, test } from '@jest/globals';
import { RESIDUES_PER_PASS } from '../../src/broker/margins.ts';
import { retryResidue } from '../../src/broker/retry-residue.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

async function residues(world: World, count: number, target: string) {
  return Promise.all(Array.from({ length: count }, () => world.residue(target)));
}

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
    world.pass(61);
    await retryResidue(world.parts, RESIDUES_PER_PASS);
    expect(world.now(lease)).toMatchObject({ residue: lease.residue, claimUntil: null });

    role.stubbornUntilMs = 0;
    world.pass(61);
    await retryResidue(world.parts, RESIDUES_PER_PASS);
    expect(world.now(lease)?.residue).toBeNull();
  });
});
