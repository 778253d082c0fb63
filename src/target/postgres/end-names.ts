import type pg from 'pg';
import type { Ending } from '../target-access.ts';
import { TargetUnreachable } from '../target-unreachable.ts';
import { joinCalls } from './ending-queue.ts';
import { serverExpression } from './finish-routine.ts';
import { quoteIdentifier } from './quoting.ts';
import { schemaOf } from './schema-name.ts';
import type { Statement, WarmConnections } from './warm-connections.ts';

/** Names in one call: larger batches gain little and make each name wait for more others. */
const BATCH_MAX = 25;
/** Times that a name which stood is gone through all steps again, before it is answered so. */
const PATIENT_PASSES = 2;
/**
 * Names that may be before one's own in the line for a further try, of at most about 1.5 s each:
 * who asked for that name alone waits so long for its death, and then gets the answer of the first.
 */
const LINE_MAX = 2;
/** SQLSTATE of a call that took longer than the server lets one take. */
const QUERY_CANCELED = '57014';

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

/** Which server answers, and its clock. */
type Here = { readonly now: Date; readonly server: string };

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
  const here = {
    name: 'here',
    text: `select pg_catalog.clock_timestamp() as now, ${serverExpression} as server`,
  };

  const run = async (names: readonly string[], passes: number): Promise<readonly Ending[]> => {
    let answer: Answer;
    try {
      ({ answer } = await askOne<{ answer: Answer }>(connections, finish, [names, passes]));
    } catch (error) {
      if ((error as { code?: unknown }).code !== QUERY_CANCELED) throw error;
      if (names.length > 1) return eachAlone(names, passes);
      answer = tookTooLong(names, await askOne<Here>(connections, here, []));
    }
    if (expectedServer !== undefined && answer.server !== expectedServer) {
      throw new TargetUnreachable(
        `the guard reached server ${answer.server}, expected ${expectedServer}`,
      );
    }
    const endings = new Map(endingsOf(answer).map((ending) => [ending.name, ending]));
    return names.flatMap((name) => endings.get(name) ?? []);
  };
  // One of them stands in the way of all; what it takes is its own and no failure of the guard.
  const eachAlone = async (names: readonly string[], passes: number) => {
    const endings: Ending[] = [];
    for (const name of names) endings.push(...(await run([name], passes)));
    return endings;
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

async function askOne<Row extends pg.QueryResultRow>(
  connections: WarmConnections,
  statement: Statement,
  values: unknown[],
): Promise<Row> {
  const [row] = await connections.ask<Row>(statement, values);
  if (row === undefined) throw new TargetUnreachable('the guard gave no answer');
  return row;
}

/** Nothing is decided, and the guard answers otherwise: the names stand in their own way. */
function tookTooLong(names: readonly string[], { now, server }: Here): Answer {
  const undecided = { closing: 'in_flight', oid: null, ended: false, state: null } as const;
  const reason = 'its ending took longer than a call at the target may take';
  return {
    now: now.toISOString(),
    server,
    names: names.map((name) => ({ ...undecided, name, reason })),
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
