import { describe, expect, test } from '@jest/globals';
import { completeTask } from '../../src/broker/complete-task.ts';
import { endLeases } from '../../src/broker/end-leases.ts';
import { endUntilDead, isDead, triedNow } from '../../src/broker/end-until-dead.ts';
import { WAITS_OF_AGENT } from '../../src/broker/margins.ts';
import type { BrokerParts } from '../../src/broker/parts.ts';
import { nobodyWaiting } from '../../src/broker/waiting.ts';
import { retryLease } from '../../src/broker/retry-lease.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import type { AgentCaller, OperatorCaller } from '../../src/identity/principal.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import { modelParts } from './support/model-parts.ts';

const CALLERS = 100;

/**
 * Callers that wait by the system's clock; the models' clock, by which probes are due, stands still.
 * Counts what the ledger is asked about the waited-for leases.
 */
function waiters() {
  const world = modelParts();
  const asked = { late: 0, reads: 0 };
  const { ledger } = world.parts;
  const parts: BrokerParts = {
    ...world.parts,
    clock: systemClock,
    waiting: nobodyWaiting(systemClock),
    ledger: {
      ...ledger,
      recordLate: (late) => (asked.late++, ledger.recordLate(late)),
      lease: (id) => (asked.reads++, ledger.lease(id)),
    },
  };
  const fenced = async (target = 'orders'): Promise<Lease> => {
    const { id } = await world.lease(target);
    const end = { leaseId: id, cause: 'operator', reason: null, by: 'olivia' } as const;
    const ended = await ledger.endLease(end);
    if (!ended) throw new Error('it was not fenced');
    return ended.lease;
  };
  const wait = (lease: Lease, seconds: number) =>
    Promise.all(Array.from({ length: CALLERS }, () => endUntilDead(parts, [lease], seconds)));
  /** No circuit of endings pauses there: its leases die by OpenBao alone. */
  const stuck = async () => {
    world.openBao.away = true;
    return fenced('legacy');
  };
  const free = () => {
    world.openBao.away = false;
    // The next probe is due.
    world.pass(10);
  };
  return { ...{ world, parts, asked, fenced, stuck, free, wait } };
}

const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));
const allDead = (answers: readonly (readonly Lease[])[]) => answers.flat().every(isDead);

describe('callers that wait for the death of one lease', () => {
  test('share its attempts, and all are told when it dies', async () => {
    const { world, asked, stuck, free, wait } = waiters();
    const lease = await stuck();
    const waiting = wait(lease, 3);
    await pause(800);
    // One after 25, 50, 100, 200 and 400 ms, for all of them together.
    expect(asked.late).toBeGreaterThan(1);
    expect(asked.late).toBeLessThan(8);
    expect(asked.reads).toBeLessThan(8);
    free();
    expect(allDead(await waiting)).toBe(true);
    expect(world.now(lease)?.state).not.toBe('revoking');
  });

  test('who comes later may wait longer than who was first', async () => {
    const { parts, stuck, free } = waiters();
    const lease = await stuck();
    const first = endUntilDead(parts, [lease], 0.3);
    const second = endUntilDead(parts, [lease], 3);
    expect(allDead([await first])).toBe(false);
    free();
    expect(allDead([await second])).toBe(true);
    expect(parts.waiting.deaths.size).toBe(0);
  });

  test('are all told of a ledger out of reach, and the next one tries again', async () => {
    const { parts, fenced } = waiters();
    const lease = await fenced();
    const deaf: BrokerParts = {
      ...parts,
      ledger: {
        ...parts.ledger,
        recordDeaths: () => Promise.reject(new LedgerUnreachable('it is away')),
      },
    };
    const outcomes = await Promise.allSettled([1, 2].map(() => endUntilDead(deaf, [lease], 1)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(allDead([await endUntilDead(parts, [lease], 1)])).toBe(true);
  });

  test('do not wait for a target at which nothing of theirs is', async () => {
    const { world, parts, fenced } = waiters();
    const [here, frozen] = [await fenced('orders'), await fenced('billing')];
    let thaw: (() => void) | undefined;
    world.at('billing').frozen = new Promise((resolve) => (thaw = resolve));
    const both = endUntilDead(parts, [here, frozen], 1);
    expect(allDead([await endUntilDead(parts, [here], 1)])).toBe(true);
    expect((await both).map(isDead)).toEqual([true, false]);
    thaw?.();
  });
});

test('an attempt that fails behind another that saw it dead says nothing of it any more', async () => {
  const { world, parts, fenced } = waiters();
  const lease = await fenced();
  const overtaken: BrokerParts = {
    ...parts,
    ledger: {
      ...parts.ledger,
      recordLate: async (late) => {
        world.at('orders').away = false;
        await endLeases(world.parts, [lease]);
        return parts.ledger.recordLate(late);
      },
    },
  };
  world.at('orders').away = true;
  expect(await endLeases(overtaken, [lease])).toEqual([]);
  expect(world.now(lease)).toMatchObject({ state: 'revoked', attempts: 0, lateReason: null });
  const events = await parts.ledger.events({ leaseId: lease.id });
  expect(events.at(-1)?.kind).toBe('lease.revoked');
});

describe('while only probes go to a target', () => {
  test('callers look at what was tried, and are told what the sweep does', async () => {
    const { world, asked, fenced, wait } = waiters();
    const lease = await fenced();
    world.at('orders').away = true;
    const waiting = wait(lease, 5);
    await pause(800);
    expect(asked.late).toBe(1);
    expect(asked.reads).toBeLessThan(8);
    world.at('orders').away = false;
    world.pass(10);
    await world.sweepAt('orders');
    expect(allDead(await waiting)).toBe(true);
    expect(asked.late).toBe(1);
  });

  test('what was never tried goes once, which gives up its claim', async () => {
    const { world, parts, fenced } = waiters();
    parts.circuits.ending.failed('orders', 'it is away');
    world.at('orders').away = true;
    const lease = await fenced();
    expect(lease.claimOwner).not.toBeNull();
    await endUntilDead(parts, [lease], 0.5);
    expect(world.now(lease)).toMatchObject({ attempts: 1, claimOwner: null });
    const tried = { ...lease, attempts: 1 };
    expect(triedNow([lease, tried], false)).toEqual([lease]);
    expect(triedNow([lease, tried], true)).toEqual([lease, tried]);
  });

  test('a retry of an operator goes at once', async () => {
    const { world, parts, fenced } = waiters();
    world.at('orders').away = true;
    const lease = await fenced();
    await endUntilDead(parts, [lease], 0);
    await pause(50);
    world.at('orders').away = false;
    const olivia = { name: 'olivia', permissions: new Set(['leases.revoke']) };
    await retryLease(parts, olivia as unknown as OperatorCaller, lease.id, 'look again', 1);
    expect(world.now(lease)?.state).not.toBe('revoking');
  });
});

test('so many calls of an agent wait, and those beyond are answered at once', async () => {
  const { world, parts, fenced } = waiters();
  world.at('orders').away = true;
  const lease = await fenced();
  const caller = { agent: { id: lease.agentId } } as AgentCaller;
  const complete = async () => {
    const began = performance.now();
    const ended = await completeTask(
      parts,
      caller,
      lease.taskId,
      { outcome: 'failed', note: null },
      2,
    );
    if (!ended.ok) throw new Error(ended.failure.reason);
    return { wait: ended.value.waitSeconds, ms: performance.now() - began };
  };
  const calls = await Promise.all(Array.from({ length: WAITS_OF_AGENT + 5 }, complete));
  const atOnce = calls.filter(({ wait }) => wait === 0);
  expect(atOnce).toHaveLength(5);
  expect(Math.max(...atOnce.map(({ ms }) => ms))).toBeLessThan(1_500);
  // Its place is free again.
  expect((await complete()).wait).toBe(2);
});
