import { describe, expect, test } from '@jest/globals';
import { createBroker } from '../../src/broker/create-broker.ts';
import type { BrokerParts } from '../../src/broker/parts.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { modelParts } from './support/model-parts.ts';

/** A broker over models whose ledger answers these questions otherwise; waits take real time. */
function brokerOver(otherwise: (ledger: Ledger) => Partial<Ledger>) {
  const world = modelParts();
  const { parts } = world;
  const health = { state: 'ready', detail: 'unsealed' } as const;
  const changed: BrokerParts = {
    ...parts,
    ledger: { ...parts.ledger, ...otherwise(parts.ledger) },
    probe: { health: () => Promise.resolve(health) } as BrokerParts['probe'],
    clock: { ...parts.clock, alarm: (...call) => systemClock.alarm(...call) },
  };
  return { ...world, broker: createBroker(changed), metrics: parts.metrics };
}

const never = () => new Promise<never>(() => undefined);
const refused = () => Promise.reject(new LedgerUnreachable('canceling statement'));

describe('the alarms', () => {
  test.each([
    ['says nothing', never],
    ['refuses', refused],
  ])('are told by number where the ledger %s of the targets, in a second', async (_, targets) => {
    const { broker, lease, pass } = brokerOver(() => ({ lateTargets: targets }));
    await lease('orders');
    pass(400);
    const begun = performance.now();
    expect(await broker.counts()).toMatchObject({ notDeadInTime: 1 });
    expect(performance.now() - begun).toBeLessThan(1500);
    const { late } = await broker.readiness();
    expect(late).toMatchObject({ notDeadInTime: 1, targets: [] });
  });

  test('go on where what is closed cannot be counted; nothing is said of that', async () => {
    const { broker, lease, metrics } = brokerOver(() => ({ countClosed: refused }));
    await lease('orders');
    metrics.leaseCounts(await broker.counts());
    const { body } = await metrics.render();
    expect(body).toContain('mayfly_leases{state="active"} 1');
    expect(body).not.toContain('state="settled"');
    expect((await broker.readiness()).alarms.ok).toBe(true);
  });

  test('that were not evaluated for a minute are said to be old', async () => {
    let answers = false;
    const { broker, pass } = brokerOver((ledger) => ({
      counts: (bounds) => (answers ? ledger.counts(bounds) : refused()),
    }));
    const state = async () => (await broker.readiness()).alarms;
    expect(await state()).toEqual({ ok: true, detail: 'not evaluated here' });
    await expect(broker.counts()).rejects.toThrow(LedgerUnreachable);
    pass(59);
    expect(await state()).toEqual({ ok: true, detail: 'not evaluated yet' });
    pass(2);
    expect(await state()).toEqual({
      ok: false,
      detail: 'not evaluated for 61 s: what is late is not known',
    });
    answers = true;
    await broker.counts();
    pass(3);
    expect(await state()).toEqual({ ok: true, detail: 'evaluated 3 s ago' });
  });
});

test('what is closed is counted behind the alarms, and not each time', async () => {
  let pages = 0;
  const { broker, metrics, parts, pass, deadLease } = brokerOver((ledger) => ({
    countClosed: (limit, cursor) => {
      pages++;
      return ledger.countClosed(limit, cursor);
    },
  }));
  const { id } = await deadLease('orders');
  await parts.ledger.recordSettled([id], 'revoked at the backend');
  await broker.counts();
  await new Promise((resolve) => setImmediate(resolve));
  const { body } = await metrics.render();
  expect(body).toContain('mayfly_leases{state="settled"} 1');
  expect(body).toMatch(/mayfly_leases_closed_counted_timestamp_seconds \d+/);
  await broker.counts();
  expect(pages).toBe(1);
  pass(600);
  await broker.counts();
  await new Promise((resolve) => setImmediate(resolve));
  expect(pages).toBe(2);
});
