import { expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { openTurns } from '../../src/foundation/turns.ts';

test('no more turns at a time than the limit, in the order of asking, per key', async () => {
  const turns = openTurns(2, 1_000, systemClock);
  const order: string[] = [];
  const first = await turns.take('a');
  const second = await turns.take('a');
  const third = turns.take('a').then((turn) => (order.push('third'), turn));
  const fourth = turns.take('a').then((turn) => (order.push('fourth'), turn));
  expect(await turns.take('b')).not.toBeNull();
  await systemClock.sleep(20);
  expect(order).toEqual([]);
  first?.();
  const thirdTurn = await third;
  await systemClock.sleep(20);
  expect(order).toEqual(['third']);
  thirdTurn?.();
  second?.();
  (await fourth)?.();
  expect(order).toEqual(['third', 'fourth']);
});

test('who waits too long gets none, and takes none from others', async () => {
  const turns = openTurns(1, 30, systemClock);
  const first = await turns.take('a');
  expect(await turns.take('a')).toBeNull();
  first?.();
  const second = await turns.take('a');
  expect(second).not.toBeNull();
  second?.();
  expect(await turns.take('a')).not.toBeNull();
});

test('who finds the line full is told so at once', async () => {
  const turns = openTurns(1, 1_000, systemClock, 1);
  const first = await turns.take('a');
  const second = turns.take('a');
  expect(await turns.take('a')).toBeNull();
  first?.();
  (await second)?.();
  expect(await turns.take('a')).not.toBeNull();
});
