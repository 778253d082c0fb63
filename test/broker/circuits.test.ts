import { describe, expect, test } from '@jest/globals';
import { createCircuit } from '../../src/broker/circuits.ts';
import type { Clock } from '../../src/foundation/clock.ts';
import type { Ids } from '../../src/foundation/ids.ts';

function circuit(pauseAfter: number) {
  let ms = 0;
  const told: [string, string | null][] = [];
  const clock: Clock = {
    now: () => new Date(ms),
    monotonicMs: () => ms,
    sleep: () => Promise.resolve(),
    alarm: () => () => undefined,
  };
  const ids = { fraction: () => 0 } as unknown as Ids;
  return {
    ...createCircuit({ clock, ids }, pauseAfter, (...what) => told.push(what)),
    told,
    pass: (more: number) => (ms += more),
  };
}

describe('a target that fails as a whole', () => {
  test('gets one probe at growing intervals, ten seconds apart at most, for ever', () => {
    const c = circuit(1);
    expect(c.turn('orders')).toBe('all');
    c.failed('orders', 'refused');
    const pauses: number[] = [];
    for (let probes = 0; probes < 40; probes++) {
      let waited = 0;
      while (c.turn('orders') === 'none') {
        waited += 10;
        c.pass(10);
      }
      // The probe is given away once.
      expect(c.turn('orders')).toBe('none');
      c.failed('orders', 'refused');
      pauses.push(waited);
    }
    expect(pauses.slice(0, 7)).toEqual([100, 200, 400, 800, 1600, 3200, 5000]);
    expect(Math.max(...pauses)).toBe(5000);
  });

  test('holds up no other, and all goes on with the first success', () => {
    const c = circuit(1);
    c.failed('orders', 'refused');
    expect(c.turn('billing')).toBe('all');
    expect(c.turn('orders')).toBe('none');
    c.pass(250);
    expect(c.paused()).toEqual([{ target: 'orders', reason: 'refused', forMs: 250 }]);
    c.succeeded('orders');
    c.succeeded('billing');
    expect([c.turn('orders'), c.paused()]).toEqual(['all', []]);
    expect(c.told).toEqual([
      ['orders', 'refused'],
      ['orders', null],
    ]);
  });

  test('is not taken for one before it failed as often in a row as is asked for', () => {
    const c = circuit(3);
    for (let n = 0; n < 5; n++) {
      c.failed('orders', 'no');
      c.failed('orders', 'no');
      c.succeeded('orders');
    }
    expect(c.turn('orders')).toBe('all');
    expect(c.told).toEqual([]);
    for (let n = 0; n < 3; n++) c.failed('orders', 'no');
    expect(c.turn('orders')).toBe('none');
  });

  test('has been away since the start of what failed, or since it last answered', () => {
    const c = circuit(1);
    c.pass(20_000);
    c.failed('orders', 'no answer', 3_000);
    expect(c.awayMs('orders')).toBe(17_000);
    c.succeeded('orders');
    expect(c.awayMs('orders')).toBe(0);
    c.pass(2_000);
    c.failed('orders', 'no answer', 15_000);
    expect(c.awayMs('orders')).toBe(2_000);
  });

  test('is away while a call waits that is listened to, until anything answers', async () => {
    const c = circuit(1);
    let answer: (words: string) => void = () => undefined;
    const heard = c.listen('orders', new Promise<string>((resolve) => (answer = resolve)));
    c.pass(4_000);
    expect([c.awayMs('orders'), c.awayMs('billing')]).toEqual([4_000, 0]);
    expect(c.paused()).toEqual([]);
    c.succeeded('orders');
    c.pass(1_000);
    expect(c.awayMs('orders')).toBe(1_000);
    answer('here');
    expect(await heard).toBe('here');
    expect(c.awayMs('orders')).toBe(0);
  });

  test('is probed at once where something else there has answered', () => {
    const c = circuit(1);
    for (let n = 0; n < 10; n++) c.failed('orders', 'refused');
    expect(c.turn('orders')).toBe('none');
    c.probeSoon('orders');
    expect(c.turn('orders')).toBe('one');
    expect(c.turn('orders')).toBe('none');
  });
});
