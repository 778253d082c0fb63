import { describe, expect, test } from '@jest/globals';
import { WAITING_MAX, joinCalls } from '../../src/target/postgres/ending-queue.ts';
import { TargetUnreachable } from '../../src/target/target-unreachable.ts';

function recorder(lanes: number, batchMax: number, joinsRunning = true) {
  const calls: { items: readonly number[]; finish: (error?: Error) => void }[] = [];
  const queue = joinCalls<number, string>({
    lanes,
    batchMax,
    keyOf: String,
    joinsRunning,
    run: (items) =>
      new Promise((resolve, reject) => {
        const finish = (error?: Error) =>
          error === undefined ? resolve(items.map(String)) : reject(error);
        calls.push({ items, finish });
      }),
  });
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
    const queue = joinCalls<number, string>({
      lanes: 1,
      batchMax: 10,
      keyOf: String,
      joinsRunning: true,
      run: () => Promise.resolve([]),
    });
    await expect(queue.ask([1])).rejects.toThrow('unanswered');
  });

  test('nothing asked, nothing sent', async () => {
    const { calls, queue } = recorder(1, 10);
    expect(await queue.ask([])).toEqual([]);
    expect(calls).toEqual([]);
  });
});

describe('what is asked for again', () => {
  const NAMES = Array.from({ length: 1000 }, (_, name) => name);

  test('1000 names asked 5 times while the target stands still are carried once each', async () => {
    const { calls, queue } = recorder(4, 25);
    const answers = Array.from({ length: 5 }, () => queue.ask(NAMES));
    expect(queue.waiting()).toBe(1000 - 4 * 25);
    // The target goes on: every call comes back, and the next goes out.
    for (let call = 0; call < calls.length; call++) {
      calls[call]?.finish();
      await settled();
    }
    expect(calls.flatMap(({ items }) => items)).toEqual(NAMES);
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 5 }, () => NAMES.map(String)));
  });

  test('it is carried again once it was answered, or its call failed', async () => {
    const { calls, queue } = recorder(1, 25);
    const [lost, shared] = [queue.ask([1]), queue.ask([1])];
    calls[0]?.finish(new Error('lost'));
    await expect(lost).rejects.toThrow('lost');
    await expect(shared).rejects.toThrow('lost');
    await settled();
    for (const call of [1, 2]) {
      const answer = queue.ask([1]);
      calls[call]?.finish();
      expect(await answer).toEqual(['1']);
      await settled();
    }
    expect(calls).toHaveLength(3);
  });

  test('where the answer must be of later than the question, only what waits is shared', async () => {
    const { calls, queue } = recorder(1, 25, false);
    const answers = [1, 1, 1].map((item) => queue.ask([item]));
    calls[0]?.finish();
    await settled();
    expect(calls.map(({ items }) => items)).toEqual([[1], [1]]);
    calls[1]?.finish();
    expect((await Promise.all(answers)).flat()).toEqual(['1', '1', '1']);
  });

  test('more than may wait is refused, and what waits is carried', async () => {
    const { calls, queue } = recorder(1, WAITING_MAX);
    const [running, waits] = [queue.ask([-1]), Array.from({ length: WAITING_MAX }, (_, n) => n)];
    const full = queue.ask(waits);
    await expect(queue.ask([WAITING_MAX])).rejects.toThrow(TargetUnreachable);
    const joined = queue.ask([0]);
    calls[0]?.finish();
    await settled();
    calls[1]?.finish();
    expect(await running).toEqual(['-1']);
    expect(await full).toHaveLength(WAITING_MAX);
    expect(await joined).toEqual(['0']);
  });
});
