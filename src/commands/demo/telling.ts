import { print as printLine } from '../print.ts';

/** What was looked at to judge a claim, and whether the claim holds. */
export type Finding = { readonly holds: boolean; readonly seen: string };

/** Tells the story and keeps count of what did not hold. */
export type Telling = {
  /** Begins a part of the story. */
  part(title: string): void;
  /** Plain words, no claim. */
  say(line: string): void;
  /**
   * States something and then looks whether it is so. A look that fails counts as not holding: the
   * story never ends on an assumption.
   */
  claim(statement: string, look: () => Promise<Finding> | Finding): Promise<boolean>;
  readonly held: () => number;
  readonly failed: () => number;
};

const MARKS = { true: '  ok     ', false: '  FAILED ' } as const;

/** After `hushed` nothing is printed any more: what is looked at then is being taken down. */
export function createTelling(hushed: AbortSignal): Telling {
  const print = (line?: string) => {
    if (!hushed.aborted) printLine(line);
  };
  let held = 0;
  let failed = 0;
  return {
    part(title) {
      print();
      print(title);
    },
    say: (line) => print(`         ${line}`),
    async claim(statement, look) {
      const { holds, seen } = await found(look);
      if (holds) held++;
      else failed++;
      print(`${MARKS[`${holds}`]}${statement}${seen === '' ? '' : `: ${seen}`}`);
      return holds;
    },
    held: () => held,
    failed: () => failed,
  };
}

async function found(look: () => Promise<Finding> | Finding): Promise<Finding> {
  try {
    return await look();
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { holds: false, seen: `could not be looked at (${why})` };
  }
}
