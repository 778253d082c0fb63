import { expect, test } from '@jest/globals';
import { createBacklog } from '../../src/broker/backlog.ts';

test('exchanges stop above the limit, and go on when most of the backlog is gone', () => {
  const backlog = createBacklog();
  const count = (waiting: number) => {
    const orders = {
      target: 'orders',
      backlog: waiting,
      toProve: true,
      toEnd: true,
      toSettle: false,
    };
    backlog.counted([orders], 100);
    return backlog.refusal('orders')?.reason;
  };
  expect(count(100)).toBeUndefined();
  expect(count(101)).toBe('revocation_backlog');
  expect(count(26)).toBe('revocation_backlog');
  expect(backlog.refusal('others')).toBeUndefined();
  expect(count(25)).toBeUndefined();
  expect(count(100)).toBeUndefined();
  count(101);
  backlog.counted([], 100);
  expect(backlog.refusal('orders')).toBeUndefined();
});
