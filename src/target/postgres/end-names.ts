import type { Ending } from '../target-access.ts';
import { TargetUnreachable } from '../target-unreachable.ts';
import { joinCalls } from './ending-queue.ts';
import { quoteIdentifier } from './quoting.ts';
import { schemaOf } from './schema-name.ts';
import type { WarmConnections } from './warm-connections.ts';

/** Names in one call: larger batches gain little and make each name wait for more others. */
const BATCH_MAX = 25;
/** Times that a name which stood is gone through all steps again, before it is answered so. */
const PATIENT_PASSES = 2;
/**
 * Names that may be before one's own in the line for a further try, of at most about 1.5 s each:
 * who asked for that name alone waits so long for its death, and then gets the answer of the first.
 */
const LINE_MAX = 2;

type Answer = {
  readonly now: string;
  readonly server: string;
  readonly names: readonly {
    readonly name: string;
    readonly closing: 'alive' | 'nothing' | 'in_flight' | 'refused';
    readonly oid: number | null;
    readonly ended: boolean;
    readonly state: 'gone' | 'disabled' | 'alive' | null;
    readonly reason: string | null;
  }[];
};

export type EndNames = (names: readonly string[]) => Promise<readonly Ending[]>;

/**
 * Ends names over the guard's connections. Endings that are asked for while all of them are busy
 * are joined into batches. Names that a holder or a stopped mint keeps locked are tried again one
 * by one, at most one at a time, also behind the answer: they wait for each other, and nobody else
 * waits for them.
 *
 * @param expectedServer answers of any other server are refused; undefined: the first is believed
 */
export function endNames(
  connections: WarmConnections,
  installation: string,
  lanes: number,
  expectedServer?: string,
): EndNames {
  const schema = quoteIdentifier(schemaOf(installation));
  const finish = { name: 'finish', text: `call ${schema}.finish($1, $2, null)` };

  const run = async (names: readonly string[], passes: number): Promise<readonly Ending[]> => {
    const [row] = await connections.ask<{ answer: Answer }>(finish, [names, passes]);
    if (row === undefined) throw new TargetUnreachable('the guard gave no answer');
    if (expectedServer !== undefined && row.answer.server !== expectedServer) {
      throw new TargetUnreachable(
        `the guard reached server ${row.answer.server}, expected ${expectedServer}`,
      );
    }
    const endings = new Map(endingsOf(row.answer).map((ending) => [ending.name, ending]));
    return names.flatMap((name) => endings.get(name) ?? []);
  };
  // A call under way may be joined: no name lives again after its ending.
  const byName = { keyOf: (name: string) => name, joinsRunning: true };
  const swift = joinCalls({
    ...byName,
    lanes,
    batchMax: BATCH_MAX,
    run: (names: readonly string[]) => run(names, 1),
  });
  const patient = joinCalls({
    ...byName,
    lanes: 1,
    batchMax: 1,
    run: (names: readonly string[]) => run(names, PATIENT_PASSES),
  });

  return async (names) => {
    const endings = await swift.ask(names);
    const standing = endings.filter(({ ended }) => !ended).map(({ name }) => name);
    if (standing.length === 0) return endings;
    const inLine = patient.waiting();
    const again = patient.ask(standing);
    if (names.length === 1 && inLine <= LINE_MAX) return again;
    // The others' deaths are answered now. Whoever asks again finds out what became of these.
    again.catch(() => undefined);
    return endings;
  };
}

function endingsOf(answer: Answer): readonly Ending[] {
  return answer.names.map(({ name, closing, oid, ended, state, reason }) => ({
    name,
    closing: closing === 'refused' ? 'alive' : closing,
    oid,
    ended,
    residue: ended && state === 'disabled' ? (reason ?? 'the role is still there') : null,
    reason: ended ? null : (reason ?? 'the role can still log in'),
    targetNow: new Date(answer.now),
    server: answer.server,
  }));
}
