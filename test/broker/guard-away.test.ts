import { describe, expect, test } from '@jest/globals';
import { createBacklog } from '../../src/broker/backlog.ts';
import { endDue, nothingInHand } from '../../src/broker/end-due.ts';
import { endLeases } from '../../src/broker/end-leases.ts';
import { endOverdueNames } from '../../src/broker/end-overdue-names.ts';
import { guardAway } from '../../src/broker/guard-away.ts';
import { GUARD_AWAY_MS } from '../../src/broker/margins.ts';
import { nothingUnderWay } from '../../src/broker/revoke-due.ts';
import { settleLeases } from '../../src/broker/settle-leases.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import { late, minted } from '../ledger/support/examples.ts';
import { modelParts } from './support/model-parts.ts';

type World = ReturnType<typeof modelParts>;

const AWAY_SECONDS = GUARD_AWAY_MS / 1000 + 1;

/** The model's clock stands still, so that nothing bounded by time waits here. */
async function untilIdle({ parts }: World): Promise<void> {
  while (parts.background.size() > 0) await idle();
}

const idle = () => new Promise((resolve) => setImmediate(resolve));

/** Fenced by somebody who left the rest to the sweep. */
async function waiting(...fence: Parameters<typeof fenced>): Promise<Lease> {
  const lease = await fenced(...fence);
  await fence[0].parts.ledger.releaseClaims();
  return lease;
}

/** What the sweep does at `orders` in so many seconds. */
async function passes(world: World, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    world.pass(1);
    await world.sweepAt('orders');
    await untilIdle(world);
  }
}

/** Calls of its guard and prover wait from now on, until the answer is called. */
function freeze(place: ReturnType<World['at']>): () => void {
  let thaw: () => void = () => undefined;
  place.frozen = new Promise((resolve) => {
    thaw = resolve;
  });
  return thaw;
}

async function fenced(
  world: World,
  target: string,
  proof?: Lease['snapshot']['proof'],
): Promise<Lease> {
  const { id } = await world.lease(target, proof);
  const ended = await world.parts.ledger.endLease({
    leaseId: id,
    cause: 'operator',
    reason: null,
    by: 'olivia',
  });
  if (!ended) throw new Error('it was not fenced');
  return ended.lease;
}

describe('a guard that is locked out of a target that is well', () => {
  test('leaves the ending to OpenBao after some seconds, and the proof to itself', async () => {
    const world = modelParts();
    const orders = world.at('orders');
    const leases = await Promise.all([1, 2, 3].map(() => fenced(world, 'orders')));
    orders.lockedOut = true;

    expect(await endLeases(world.parts, leases)).toEqual([]);
    await untilIdle(world);
    expect(world.openBao.revocations).toBe(0);

    world.pass(AWAY_SECONDS);
    expect(await endLeases(world.parts, leases)).toEqual([]);
    await untilIdle(world);
    expect(leases.map((lease) => world.canLogin(lease))).toEqual([false, false, false]);
    // Dead, and nobody has seen it yet.
    expect(leases.map((lease) => world.now(lease)?.state)).toEqual(Array(3).fill('revoking'));

    orders.lockedOut = false;
    const died = await endLeases(world.parts, leases);
    expect(died.map(({ state }) => state)).toEqual(Array(3).fill('revoked'));
  });

  test('leaves all that waits for the sweep to OpenBao in some passes, with one probe at a time', async () => {
    const world = modelParts();
    const orders = world.at('orders');
    const leases = await Promise.all(Array.from({ length: 250 }, () => waiting(world, 'orders')));
    orders.lockedOut = true;
    await passes(world, AWAY_SECONDS + 5);
    expect(leases.filter((lease) => world.canLogin(lease))).toEqual([]);
    expect(world.now(leases[249] as Lease)).toMatchObject({
      state: 'revoking',
      lateReason: 'no connection',
    });
    // Of the guard one lease was asked at a time, but for the first call, which found it away.
    const asked = orders.endings;
    await passes(world, 20);
    expect(orders.endings - asked).toBeLessThan(10);

    orders.lockedOut = false;
    await passes(world, 20);
    expect(leases.filter((lease) => world.now(lease)?.revokedAt === null)).toEqual([]);
    expect(new Set(leases.map((lease) => world.now(lease)?.revocability))).toEqual(
      new Set(['proven']),
    );
  });

  test('is not left to an OpenBao that does not answer either, but for probes', async () => {
    const world = modelParts();
    await Promise.all(Array.from({ length: 30 }, () => waiting(world, 'orders')));
    world.at('orders').lockedOut = true;
    world.openBao.away = true;
    await passes(world, 60);
    expect(world.openBao.revocations).toBeGreaterThan(5);
    expect(world.openBao.revocations).toBeLessThan(40);
  });

  test('leaves to OpenBao what comes due while an ending hangs', async () => {
    const world = modelParts();
    const inHand = nothingInHand();
    const sweep = () => endDue(world.parts, inHand, 'orders', { claimed: 0, died: 0, settling: 0 });
    await waiting(world, 'orders');
    const thaw = freeze(world.at('orders'));
    const hanging = [sweep(), endOverdueNames(world.parts, nothingUnderWay(), { endedByName: 0 })];
    await idle();
    const later = await waiting(world, 'orders');
    world.pass(AWAY_SECONDS);
    await sweep();
    for (let n = 0; n < 100 && world.canLogin(later); n++) await idle();
    expect(world.canLogin(later)).toBe(false);
    expect(world.now(later)?.state).toBe('revoking');
    thaw();
    await Promise.all(hanging);
  });

  test('holds up nothing that needs OpenBao alone', async () => {
    const world = modelParts();
    world.at('orders').lockedOut = true;
    await waiting(world, 'orders');
    await passes(world, 1);
    const unproven = await waiting(world, 'orders', 'backend');
    // The next probe is some seconds away.
    for (let n = 0; n < 10; n++) world.parts.circuits.ending.failed('orders', 'no connection');
    await passes(world, 1);
    expect(world.now(unproven)).toMatchObject({ state: 'settled', revocability: 'revocable' });
  });

  test('is probed by what it has to end', async () => {
    const world = modelParts();
    const orders = world.at('orders');
    orders.lockedOut = true;
    const proven = await waiting(world, 'orders');
    await passes(world, 1);
    orders.lockedOut = false;
    world.openBao.away = true;
    await waiting(world, 'orders', 'backend');
    world.pass(1);
    // The other one has been due for longer.
    await world.parts.ledger.recordLate([late(proven.id, { reason: 'no connection' })]);
    await passes(world, 1);
    expect(world.now(proven)?.state).toBe('revoked');
  });

  test('is where nothing is minted any more, until it answers again', async () => {
    const world = modelParts();
    const orders = world.at('orders');
    const parts = { ...world.parts, backlog: createBacklog() };
    const asked = (proof: 'target' | 'backend', target = 'orders') =>
      guardAway(parts, { scope: { proof }, target: { name: target } } as never)?.reason;
    const look = () => endOverdueNames(parts, nothingUnderWay(), { endedByName: 0 });
    orders.lockedOut = true;
    await look();
    expect(asked('target')).toBeUndefined();
    world.pass(AWAY_SECONDS);
    await look();
    expect(asked('target')).toBe('guard_unreachable');
    expect(asked('backend')).toBeUndefined();
    expect(asked('target', 'billing')).toBeUndefined();
    orders.lockedOut = false;
    await look();
    expect(asked('target')).toBeUndefined();
  });

  test('is away from the start of a call that stays unanswered, not from its end', async () => {
    const world = modelParts();
    const orders = world.at('orders');
    const parts = { ...world.parts, backlog: createBacklog() };
    const asked = () =>
      guardAway(parts, { scope: { proof: 'target' }, target: { name: 'orders' } } as never)?.reason;
    const thaw = freeze(orders);
    const look = endOverdueNames(parts, nothingUnderWay(), { endedByName: 0 });
    expect(asked()).toBeUndefined();
    world.pass(AWAY_SECONDS);
    expect(asked()).toBe('guard_unreachable');
    thaw();
    await look;
    expect(asked()).toBeUndefined();
  });

  test('has OpenBao asked while a call still waits, unless it answers others', async () => {
    const world = modelParts();
    const leases = [await fenced(world, 'orders')];
    const rings: (() => void)[] = [];
    const alarm = (_ms: number, ring: () => void) => (rings.push(ring), () => undefined);
    const parts = { ...world.parts, clock: { ...world.parts.clock, alarm } };
    const pass = async (ms: number) => {
      world.pass(ms / 1000);
      for (const ring of rings.splice(0)) ring();
      await idle();
    };
    const thaw = freeze(world.at('orders'));
    const ending = endLeases(parts, leases);
    world.pass(1);
    parts.circuits.looking.succeeded('orders');
    await pass(GUARD_AWAY_MS - 1000);
    expect(world.openBao.revocations).toBe(0);
    await pass(1000);
    await untilIdle(world);
    expect(leases.map((lease) => world.canLogin(lease))).toEqual([false]);
    thaw();
    expect((await ending).map(({ state }) => state)).toEqual(['revoked']);
  });

  test('counts too where it only cannot end, while something waits for that', () => {
    const world = modelParts();
    const parts = { ...world.parts, backlog: createBacklog() };
    const asked = () =>
      guardAway(parts, { scope: { proof: 'target' }, target: { name: 'orders' } } as never);
    parts.circuits.ending.failed('orders', 'permission denied');
    world.pass(AWAY_SECONDS);
    expect(asked()).toBeUndefined();
    parts.backlog.counted(
      [{ target: 'orders', toProve: true, toEnd: false, toSettle: false, backlog: 1 }],
      100,
    );
    expect(asked()?.reason).toBe('guard_unreachable');
  });
});

describe('a lease without a guard that OpenBao does not know', () => {
  test('is recorded as one that nobody saw end', async () => {
    const world = modelParts();
    const [kept, lost] = await Promise.all([1, 2].map(() => fenced(world, 'legacy')));
    if (!kept || !lost) throw new Error('there are two');
    world.forget(lost);
    await endLeases(world.parts, [kept, lost]);
    expect(world.now(kept)).toMatchObject({
      state: 'settled',
      revocability: 'revocable',
      evidence: { asked: 'sys/leases/revoke', answer: 'revoked at the backend' },
    });
    expect(world.now(lost)).toMatchObject({ state: 'settled', ...UNSEEN });
    expect(await storyOf(world, lost)).not.toContain('revoked at the backend');
    expect(world.errors()).toEqual([expect.stringContaining(lost.id)]);
  });

  test('also where it was tried before, in an outage that a restore followed', async () => {
    const world = modelParts();
    const lost = await fenced(world, 'legacy');
    world.openBao.away = true;
    await endLeases(world.parts, [lost]);
    const tried = world.now(lost);
    expect(tried).toMatchObject({ state: 'revoking', attempts: 1 });
    if (!tried) throw new Error('it is in the ledger');
    world.openBao.away = false;
    world.forget(lost);
    await endLeases(world.parts, [tried]);
    expect(world.now(lost)).toMatchObject({ state: 'settled', ...UNSEEN });
    expect(world.errors()).toEqual([expect.stringContaining(lost.id)]);
    expect(world.canLogin(lost)).toBe(true);
  });
});

describe('a lease that only OpenBao could end, and whose id there never came', () => {
  test.each([
    ['legacy', 'backend'],
    ['orders', 'backend'],
    ['legacy', 'target'],
  ] as const)('at %s, with proof: %s: nobody saw it end', async (target, proof) => {
    const world = modelParts();
    const lease = await world.leaseInDoubt(target, proof);
    world.pass(300);
    await world.sweepAt(target);
    await world.behind();
    expect(world.now(lease)?.state).toBe('revoking');
    expect(world.errors()).toEqual([]);
    // Its token's life, and the longest wait for the next attempt.
    world.pass(41);
    await world.sweepAt(target);
    await world.behind();
    expect(world.now(lease)).toMatchObject({
      state: 'settled',
      revocability: 'expiry',
      revocabilityReason: 'the id of its backend lease never came: nobody saw it end',
      evidence: { kind: 'backend', asked: null, answer: "ended with its token's life" },
    });
    expect(world.errors()).toEqual([expect.stringContaining(lease.id)]);
    expect(world.errors()[0]).toContain('nobody saw it end; look at the target');
    const { body } = await world.parts.metrics.render();
    const counted = 'mayfly_lease_deaths_total{cause="mint_unknown",revocability="expiry"} 1';
    expect(body).toContain(counted);
    expect(world.openBao.revocations).toBe(0);
  });

  test('keeps a class that is lower still', async () => {
    const world = modelParts();
    const lease = await world.leaseInDoubt('legacy');
    world.pass(341);
    await endLeases(world.parts, [{ ...lease, revocability: 'static' }]);
    expect(world.now(lease)).toMatchObject({ state: 'settled', revocability: 'static' });
  });

  test('is asked for where its id came after all', async () => {
    const world = modelParts();
    const lease = await world.leaseInDoubt('legacy');
    await world.parts.ledger.recordMint(minted(lease.id));
    const known = world.now(lease);
    if (!known) throw new Error('it is in the ledger');
    await endLeases(world.parts, [known]);
    expect(world.openBao.revocations).toBeGreaterThan(0);
    expect(world.now(lease)?.evidence).toMatchObject({ asked: 'sys/leases/lookup' });
  });
});

describe('a lease that a guard never saw', () => {
  test("is OpenBao's to end, and recorded as unseen where OpenBao does not know it", async () => {
    const world = modelParts();
    const [kept, lost] = await Promise.all([1, 2].map(() => fenced(world, 'orders')));
    if (!kept || !lost) throw new Error('there are two');
    world.forget(lost);
    const died = await endLeases(world.astray(), [kept, lost]);
    expect(world.now(kept)).toMatchObject({
      state: 'revoked',
      revocability: 'revocable',
      revocabilityReason: 'no_positive_control',
      evidence: { kind: 'backend_revoked' },
    });
    expect(world.canLogin(kept)).toBe(false);
    expect(world.now(lost)).toMatchObject({
      state: 'revoked',
      revocability: 'expiry',
      revocabilityReason: 'nobody_saw_it_end',
      evidence: { kind: 'backend_lost' },
    });
    expect(world.errors()).toEqual([expect.stringContaining(lost.id)]);
    await settleLeases(world.parts, died);
    expect(world.now(lost)?.state).toBe('settled');
    expect(await storyOf(world, lost)).not.toContain('revoked at the backend');
  });
});

const UNSEEN = {
  revocability: 'expiry',
  revocabilityReason: expect.stringContaining('nobody saw it end') as unknown,
  evidence: { asked: 'sys/leases/lookup' },
};

async function storyOf({ parts }: World, { id }: Lease): Promise<string> {
  return JSON.stringify(await parts.ledger.events({ leaseId: id }));
}
