import { TargetUnreachable } from '../target-unreachable.ts';

/**
 * Items that wait at a time, a few MB in all; at the rate of a healthy target more than ten seconds
 * of work. A target that does not answer must not fill the memory with what is asked of it.
 */
export const WAITING_MAX = 10_000;

/** Calls that were asked for one at a time, joined while all lanes are busy. */
export type EndingQueue<Item, Answer> = {
  /**
   * Answers in the order of the items. Rejects when the call that carried one of them failed, and
   * with TargetUnreachable when too many wait already; the others are carried all the same.
   */
  ask(items: readonly Item[]): Promise<readonly Answer[]>;
  /** Items that no lane has taken yet. */
  waiting(): number;
};

export type JoinedCalls<Item, Answer> = {
  /** Calls under way at a time. */
  readonly lanes: number;
  /** Items in one call. */
  readonly batchMax: number;
  /** What is asked for again under the same key while it waits shares the answer. */
  readonly keyOf: (item: Item) => string;
  /** True: it shares the answer of a call under way too, which may be from before it was asked. */
  readonly joinsRunning: boolean;
  /** Answers as many answers as it got items, in their order. */
  readonly run: (items: readonly Item[]) => Promise<readonly Answer[]>;
};

type Asked<Item, Answer> = {
  readonly key: string;
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * One item alone goes out at once, in a call of its own. What arrives while all lanes are busy
 * waits, and goes out together as soon as one comes back: short waits when it is quiet, large
 * batches in a storm, with nothing to tune in between.
 */
export function joinCalls<Item, Answer>(
  calls: JoinedCalls<Item, Answer>,
): EndingQueue<Item, Answer> {
  const { lanes, batchMax, keyOf, joinsRunning, run } = calls;
  const waiting: Asked<Item, Answer>[] = [];
  const shared = new Map<string, Promise<Answer>>();
  let busy = 0;

  const carry = async (batch: readonly Asked<Item, Answer>[]) => {
    try {
      const answers = await run(batch.map(({ item }) => item));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const answer = answers[index];
        if (answer === undefined) reject(new Error('the target left a question unanswered'));
        else resolve(answer);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      if (joinsRunning) forget(batch);
      busy -= 1;
      start();
    }
  };

  const forget = (batch: readonly Asked<Item, Answer>[]) => {
    for (const { key } of batch) shared.delete(key);
  };

  const start = () => {
    while (busy < lanes && waiting.length > 0) {
      busy += 1;
      const batch = waiting.splice(0, batchMax);
      if (!joinsRunning) forget(batch);
      void carry(batch);
    }
  };

  const answerTo = (item: Item): Promise<Answer> => {
    const key = keyOf(item);
    const asked = shared.get(key);
    if (asked !== undefined) return asked;
    if (waiting.length >= WAITING_MAX) {
      return Promise.reject(
        new TargetUnreachable(`${WAITING_MAX} names wait for the target already`),
      );
    }
    const answer = new Promise<Answer>((resolve, reject) =>
      waiting.push({ key, item, resolve, reject }),
    );
    shared.set(key, answer);
    return answer;
  };

  return {
    ask(items) {
      const answers = items.map(answerTo);
      start();
      return Promise.all(answers);
    },
    waiting: () => waiting.length,
  };
}
