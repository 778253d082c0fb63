import { describe, expect, test } from '@jest/globals';
import { judgeUser } from '../../src/broker/compare-users.ts';
import { diedBefore, endOverdueNames } from '../../src/broker/end-overdue-names.ts';
import { SAME_ENDING_MS } from '../../src/broker/margins.ts';
import { nothingUnderWay } from '../../src/broker/revoke-due.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

/** The half of a pass that ends by name, up to the last of what it reports. */
async function byName({ parts, behind }: World, ledger = parts.ledger): Promise<number> {
  const tally = { endedByName: 0 };
  await endOverdueNames({ ...parts, ledger }, nothingUnderWay(), tally);
  await behind();
  return tally.endedByName;
}

async function risen({ parts }: World, { id }: Lease): Promise<number> {
  const events = await parts.ledger.events({ leaseId: id });
  return events.filter(({ kind }) => kind === 'lease.resurrected').length;
}

describe("a name past its deadline whose lease dies on OpenBao's word", () => {
  test('has not risen where the other half of the pass recorded it meanwhile', async () => {
    const world = modelParts();
    const lease = await world.lease('orders', 'backend');
    world.pass(302);
    const { ledger } = world.parts;
    const ended = await byName(world, {
      ...ledger,
      leaseByName: async (name) => {
        await world.sweepAt('orders');
        return ledger.leaseByName(name);
      },
    });
    expect(ended).toBe(1);
    expect(world.now(lease)).toMatchObject({ evidence: { kind: 'backend' }, residue: null });
    expect(await risen(world, lease)).toBe(0);
    expect(world.errors()).toEqual([]);
  });

  test('has risen where it was recorded long before', async () => {
    const world = modelParts();
    const lease = await world.lease('orders', 'backend');
    world.forget(lease);
    world.pass(300);
    await world.sweepAt('orders');
    await world.behind();
    expect(world.now(lease)?.state).toBe('settled');
    world.pass(SAME_ENDING_MS / 1000 + 1);
    expect(await byName(world)).toBe(1);
    expect(await risen(world, lease)).toBe(1);
  });
});

describe('whether a death was seen before a look at the target', () => {
  const LOOK_MS = Date.UTC(2026, 0, 1);
  const ago = (ms: number) => new Date(LOOK_MS - ms);
  const dead = (more: Partial<Lease>) => ({ state: 'revoked', residue: null, ...more }) as Lease;
  const byGuard = (ms: number) =>
    dead({ evidence: { guard: { at: ago(ms).toISOString() } }, revokedAt: ago(60_000) });
  const byBackend = (ms: number) => dead({ evidence: { kind: 'backend' }, revokedAt: ago(ms) });

  test.each([
    ['what the guard saw', byGuard],
    ["what stands on OpenBao's word", byBackend],
  ])('%s is told by its instant', (_, death) => {
    expect(diedBefore(death(SAME_ENDING_MS + 1), LOOK_MS)).toBe(true);
    expect(diedBefore(death(SAME_ENDING_MS), LOOK_MS)).toBe(false);
    expect(diedBefore(death(-1), LOOK_MS)).toBe(false);
  });

  test('what was never made has no death that could be late', () => {
    const abandoned = dead({ state: 'abandoned', evidence: null, revokedAt: null });
    expect(diedBefore(abandoned, LOOK_MS)).toBe(true);
  });

  test('a user that died while it was listed is no finding', () => {
    const user = { name: 'x', oid: 1, canLogin: true, deadline: ago(0), registered: true };
    expect(judgeUser(user, byBackend(1_000), LOOK_MS, 0)).toBe('known');
    expect(judgeUser(user, byBackend(60_000), LOOK_MS, 0)).toBe('risen');
  });
});
