import { parseName } from '../credential-name.ts';
import type { Ending, Guard, GuardedName } from '../target-access.ts';
import { joinCalls } from './ending-queue.ts';
import { quoteIdentifier } from './quoting.ts';
import { schemaOf } from './schema-name.ts';
import type { WarmConnections } from './warm-connections.ts';
import { TargetUnreachable } from '../target-unreachable.ts';

/** Asking for overdue names, which every sweep does, also forgets old ones every so many times. */
const TIDY_EVERY = 600;
/** Names in one call: larger batches gain little and make each name wait for more others. */
const BATCH_MAX = 25;

/** Times that a name which stood is gone through all steps again, before it is answered so. */
const PATIENT_PASSES = 2;

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

type ListedRow = {
  credential: string;
  role: string | null;
  can_login: boolean;
  deadline: Date;
  registered: boolean;
};

/**
 * The guard over its login's connections. Endings that are asked for while all of them are busy
 * are joined into batches. Names that a holder or a stopped mint keeps locked are tried again one
 * by one, at most one at a time: they wait for each other, and nobody else waits for them.
 *
 * @param expectedServer answers of any other server are refused; undefined: the first is believed
 */
export function postgresGuard(
  connections: WarmConnections,
  installation: string,
  lanes: number,
  expectedServer?: string,
): Guard {
  const schema = quoteIdentifier(schemaOf(installation));
  const finish = { name: 'finish', text: `call ${schema}.finish($1, $2, null)` };
  const list = { name: 'list', text: `select * from ${schema}.list()` };
  const overdue = {
    name: 'overdue',
    text: `select * from ${schema}.list() where deadline < pg_catalog.clock_timestamp()
      order by can_login desc, deadline limit $1`,
  };
  const tidy = { name: 'tidy', text: `select ${schema}.tidy()` };
  let asked = 0;
  const now = { name: 'now', text: 'select pg_catalog.clock_timestamp() as now' };

  const run = async (names: readonly string[], passes: number): Promise<readonly Ending[]> => {
    const [row] = await connections.ask<{ answer: Answer }>(finish, [[...new Set(names)], passes]);
    if (row === undefined) throw new TargetUnreachable('the guard gave no answer');
    if (expectedServer !== undefined && row.answer.server !== expectedServer) {
      throw new TargetUnreachable(
        `the guard reached server ${row.answer.server}, expected ${expectedServer}`,
      );
    }
    const endings = new Map(endingsOf(row.answer).map((ending) => [ending.name, ending]));
    return names.flatMap((name) => endings.get(name) ?? []);
  };
  const swift = joinCalls(lanes, BATCH_MAX, (names: readonly string[]) => run(names, 1));
  const patient = joinCalls(1, 1, (names: readonly string[]) => run(names, PATIENT_PASSES));

  return {
    async end(names) {
      for (const name of names) {
        if (parseName(name)?.installation !== installation) {
          throw new RangeError(`the guard of installation ${installation} ends only its own names`);
        }
      }
      const endings = await swift.ask(names);
      return Promise.all(
        endings.map(async (ending) => {
          if (ending.ended) return ending;
          const [again] = await patient.ask([ending.name]);
          return again ?? ending;
        }),
      );
    },
    async overdue(limit) {
      if (asked++ % TIDY_EVERY === 0) await connections.ask(tidy, []);
      return (await connections.ask<ListedRow>(overdue, [limit])).map(guardedName);
    },
    async list() {
      return (await connections.ask<ListedRow>(list, [])).map(guardedName);
    },
    async now() {
      const [row] = await connections.ask<{ now: Date }>(now, []);
      if (row === undefined) throw new TargetUnreachable('the guard gave no answer');
      return row.now;
    },
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

function guardedName(row: ListedRow): GuardedName {
  return {
    name: row.credential,
    oid: row.role === null ? null : Number(row.role),
    canLogin: row.can_login,
    deadline: row.deadline,
    registered: row.registered,
  };
}
