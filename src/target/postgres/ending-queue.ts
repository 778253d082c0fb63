/** Calls that were asked for one at a time, joined while all lanes are busy. */
export type EndingQueue<Item, Answer> = {
  /** Answers in the order of the items. Rejects when the call that carried one of them failed. */
  ask(items: readonly Item[]): Promise<readonly Answer[]>;
};

type Waiting<Item, Answer> = {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * One item alone goes out at once, in a call of its own. What arrives while `lanes` calls are under
 * way waits, and goes out together as soon as one comes back: short waits when it is quiet, large
 * batches in a storm, with nothing to tune in between.
 *
 * @param run answers as many answers as it got items, in their order
 */
export function joinCalls<Item, Answer>(
  lanes: number,
  batchMax: number,
  run: (items: readonly Item[]) => Promise<readonly Answer[]>,
): EndingQueue<Item, Answer> {
  const waiting: Waiting<Item, Answer>[] = [];
  let busy = 0;

  const carry = async (batch: readonly Waiting<Item, Answer>[]) => {
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
      busy -= 1;
      start();
    }
  };

  const start = () => {
    while (busy < lanes && waiting.length > 0) {
      busy += 1;
      void carry(waiting.splice(0, batchMax));
    }
  };

  return {
    ask(items) {
      const answers = items.map(
        (item) => new Promise<Answer>((resolve, reject) => waiting.push({ item, resolve, reject })),
      );
      start();
      return Promise.all(answers);
    },
  };
}
