import { describe, expect, test } from '@jest/globals';
import { joinCalls } from '../../src/target/postgres/ending-queue.ts';

function recorder(lanes: number, batchMax: number) {
  const calls: { items: readonly number[]; finish: (error?: Error) => void }[] = [];
  const queue = joinCalls<number, string>(
    lanes,
    batchMax,
    (items) =>
      new Promise((resolve, reject) => {
        const finish = (error?: Error) =>
          error === undefined ? resolve(items.map(String)) : reject(error);
        calls.push({ items, finish });
      }),
  );
  return { calls, queue };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('joined calls', () => {
  test('one alone goes out at once; the rest waits for a free lane and goes together', async () => {
    const { calls, queue } = recorder(2, 3);
    const answers = [1, 2, 3, 4, 5, 6].map((item) => queue.ask([item]));
    expect(calls.map(({ items }) => items)).toEqual([[1], [2]]);
    calls[0]?.finish();
    await settled();
    expect(calls.map(({ items }) => items)).toEqual([[1], [2], [3, 4, 5]]);
    calls[1]?.finish();
    await settled();
    expect(calls[3]?.items).toEqual([6]);
    calls[2]?.finish();
    calls[3]?.finish();
    expect((await Promise.all(answers)).flat()).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  test('a failed call rejects those that it carried, and no others', async () => {
    const { calls, queue } = recorder(1, 10);
    const first = queue.ask([1]);
    const second = queue.ask([2, 3]);
    calls[0]?.finish(new Error('lost'));
    await expect(first).rejects.toThrow('lost');
    calls[1]?.finish();
    expect(await second).toEqual(['2', '3']);
  });

  test('an answer that is missing is an error', async () => {
    const queue = joinCalls<number, string>(1, 10, () => Promise.resolve([]));
    await expect(queue.ask([1])).rejects.toThrow('unanswered');
  });

  test('nothing asked, nothing sent', async () => {
    const { calls, queue } = recorder(1, 10);
    expect(await queue.ask([])).toEqual([]);
    expect(calls).toEqual([]);
  });
});
