import { describe, expect, test } from '@jest/globals';
import { createBacklog } from '../../src/broker/backlog.ts';
import type { BrokerParts } from '../../src/broker/parts.ts';
import { nothingUnderWay, revokeDue } from '../../src/broker/revoke-due.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import type { Clock } from '../../src/foundation/clock.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import { modelParts } from './support/model-parts.ts';

/** Questions that a pass asks beside what is due, as one that the ledger does not answer. */
const SLOW = ['endTimedOutTasks', 'forgetKeys', 'stops', 'noteCatalogue', 'selfCheck'] as const;

const idle = () => new Promise<void>((resolve) => void setImmediate(resolve));

const atOnce: Clock['alarm'] = (_ms, ring) => (setImmediate(ring), () => undefined);

/** Passes over a model whose ledger keeps one question; no pass waits for what it has begun. */
function passesWith(slow: (typeof SLOW)[number], alarm: Clock['alarm'] = atOnce) {
  const world = modelParts();
  const held: ((reason: Error) => void)[] = [];
  let claims = 0;
  const { ledger } = world.parts;
  const parts: BrokerParts = {
    ...world.parts,
    backlog: createBacklog(),
    clock: { ...world.parts.clock, alarm },
    ledger: {
      ...ledger,
      [slow]: () => new Promise<never>((_, reject) => void held.push(reject)),
      dueTargets: (upTo) => {
        claims++;
        return ledger.dueTargets(upTo);
      },
    },
  };
  const underWay = nothingUnderWay();
  return {
    ...{ world, held },
    claims: () => claims,
    pass: async () => {
      world.pass(1);
      await revokeDue(parts, underWay);
      await idle();
    },
  };
}

describe('a question that the ledger does not answer', () => {
  test.each(SLOW)('%s: what is due is claimed in each pass all the same', async (slow) => {
    const { world, held, claims, pass } = passesWith(slow);
    const lease = await world.lease('legacy');
    await pass();
    expect(held).toHaveLength(1);
    world.pass(300);
    await pass();
    await pass();
    expect(claims()).toBe(3);
    expect(world.now(lease)?.state).not.toBe('active');
    // It is not asked again beside itself, and again when it was given up.
    expect(held).toHaveLength(1);
    held[0]?.(new LedgerUnreachable('canceling statement'));
    await idle();
    world.pass(5);
    await pass();
    expect(held).toHaveLength(2);
  });

  test('does not keep the next second from being the next pass', async () => {
    const { pass } = passesWith('stops', (...call) => systemClock.alarm(...call));
    const begun = performance.now();
    await pass();
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});

describe('a ledger that is not known yet to be the one that went on', () => {
  test('ends what is due, and nothing for want of an entry in this catalogue', async () => {
    const asked: string[] = [];
    const { world, parts } = noting(asked);
    const lease = await world.lease('legacy');
    world.pass(301);
    await revokeDue(parts, nothingUnderWay(), false);
    expect(world.now(lease)?.state).not.toBe('active');
    expect(asked).not.toContain('noteCatalogue');
    await revokeDue(parts, nothingUnderWay(), true);
    expect(asked).toContain('noteCatalogue');
  });
});

/** Parts whose ledger notes what it is asked. */
function noting(asked: string[]) {
  const world = modelParts();
  const ledger = new Proxy(world.parts.ledger, {
    get: (target, name, receiver) => {
      asked.push(String(name));
      return Reflect.get(target, name, receiver) as unknown;
    },
  });
  return { world, parts: { ...world.parts, backlog: createBacklog(), ledger } };
}
