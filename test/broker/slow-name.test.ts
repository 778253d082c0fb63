import { describe, expect, test } from '@jest/globals';
import { nothingInHand } from '../../src/broker/end-due.ts';
import { RESIDUES_PER_PASS } from '../../src/broker/margins.ts';
import { retryResidue } from '../../src/broker/retry-residue.ts';
import { modelParts } from './support/model-parts.ts';

/** Of those that are settled already as well. */
const DEAD = { evidence: { kind: 'seen_dead' }, revocability: 'proven' };

describe('a name whose ending takes longer than a call may', () => {
  test('stands alone: the others of its batch are dead, and nothing is paused', async () => {
    const world = modelParts();
    const { parts } = world;
    const leases = await Promise.all(Array.from({ length: 10 }, () => world.lease('orders')));
    const [slow, ...others] = leases;
    if (!slow) throw new Error('no lease');
    world.at('orders').tooSlow = slow.credentialName;
    for (let pass = 0; pass < 3; pass++) {
      world.pass(301);
      await world.sweepAt('orders');
      expect(parts.circuits.ending.paused()).toEqual([]);
      expect(parts.circuits.ending.turn('orders')).toBe('all');
    }
    for (const lease of others) expect(world.now(lease)).toMatchObject(DEAD);
    expect(world.now(slow)).toMatchObject({
      state: 'revoking',
      lateReason: expect.stringMatching(/longer than a call/) as unknown,
    });

    world.at('orders').tooSlow = undefined;
    world.pass(20);
    await world.sweepAt('orders');
    await world.sweepAt('orders');
    expect(world.now(slow)).toMatchObject(DEAD);
  });

  test('stays a residue if it is one', async () => {
    const world = modelParts();
    const lease = await world.residue('orders');
    world.at('orders').tooSlow = lease.credentialName;
    world.pass(61);
    await retryResidue(world.parts, nothingInHand(), RESIDUES_PER_PASS);
    expect(world.now(lease)).toMatchObject({ residue: lease.residue, claimUntil: null });
    expect(world.parts.circuits.ending.paused()).toEqual([]);
  });
});
