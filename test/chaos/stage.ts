import type { World } from '../../dist/commands/demo/world.js';
import type { Lives } from './lives.ts';
import type { Oracle } from './oracle.ts';
import type { Random } from './random.ts';
import type { RunRecord } from './record.ts';
import type { Replica } from './replica.ts';
import type { Tally } from './tally.ts';
import type { Watch } from './watch.ts';

/** All that the parts of a run work with. */
export type Stage = {
  readonly world: World;
  readonly random: Random;
  readonly replicas: readonly Replica[];
  readonly lives: Lives;
  readonly oracle: Oracle;
  readonly record: RunRecord;
  readonly watch: Watch;
  readonly tally: Tally;
  /** Fail points that are to be reached. */
  readonly points: readonly string[];
  /** Kills that each point is to have. */
  readonly each: number;
  /** Fail points that a broker is armed with now. */
  readonly armed: Set<string>;
  /** Told each kill, for those who watch. */
  readonly say: (line: string) => void;
  /** True once this stretch of kills is to end: nobody waits for a point any more. */
  ending: boolean;
  /** True once no further kill is wanted. */
  done: boolean;
};

/** The address of some broker that runs, and of another one than this. */
export function someBroker({ replicas, random }: Stage, but?: Replica): string {
  const running = replicas.filter((replica) => replica !== but && replica.running());
  const others = replicas.filter((replica) => replica !== but);
  return random.pick(running.length > 0 ? running : others).url;
}
