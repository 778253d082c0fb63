import type { AgentCalls, ExchangeAnswer, Granted } from './agent-calls.ts';
import type { OperatorView } from './operator-view.ts';
import type { Telling } from './telling.ts';
import type { Witness } from './witness.ts';
import type { World } from './world.ts';

/** Everything that the parts of the story play with. */
export type Stage = {
  readonly world: World;
  readonly calls: AgentCalls;
  readonly operator: OperatorView;
  readonly witness: Witness;
  readonly telling: Telling;
  readonly sleep: (ms: number) => Promise<void>;
  readonly monotonicMs: () => number;
};

/** The agents of the example catalogue, as the identity provider knows them. */
export const RECONCILER = 'invoice-reconciler';

/** Ends the story early: what follows needs a credential. */
export function expectGranted(answer: ExchangeAnswer): Granted {
  if (answer.granted) return answer;
  throw new Error(`the exchange was refused: ${answer.reason}: ${answer.description}`);
}

/** Looks again until it holds or `patienceMs` are over; answers the last look. */
export async function eventually<Value>(
  stage: Pick<Stage, 'sleep' | 'monotonicMs'>,
  patienceMs: number,
  look: () => Promise<Value>,
  holds: (value: Value) => boolean,
): Promise<Value> {
  const giveUpAt = stage.monotonicMs() + patienceMs;
  for (;;) {
    const value = await look();
    if (holds(value) || stage.monotonicMs() > giveUpAt) return value;
    await stage.sleep(LOOK_AGAIN_MS);
  }
}

/** Milliseconds between two looks. */
const LOOK_AGAIN_MS = 20;
