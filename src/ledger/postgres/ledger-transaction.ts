import type { CompiledQuery, PostgresQueryResult, RawBuilder } from 'kysely';
import type { LedgerDatabase } from './ledger-database.ts';
import type { LedgerSession } from './ledger-session.ts';

/** What a transaction writes, complete before the first statement is sent. */
export type Writes<Value> = {
  readonly statements: readonly RawBuilder<unknown>[];
  /** Of the rows that each statement answered, in the same order. */
  readonly result: (rows: readonly (readonly unknown[])[]) => Value;
};

/**
 * A transaction of two round trips: `begin` goes out with the statement that reads (and locks), and
 * with one that reads beside it what is then locked; all that is written goes out with `commit`.
 * `decide` answers undefined to roll back. Rejects where the commit did not happen or is not known
 * to have happened.
 */
export async function readThenWrite<Row, Beside, Value>(
  ledger: LedgerDatabase,
  read: RawBuilder<Row>,
  beside: RawBuilder<Beside> | undefined,
  decide: (rows: readonly Row[], beside: readonly Beside[]) => Writes<Value> | undefined,
): Promise<Value | undefined> {
  const session = await ledger.pool.connect();
  try {
    const reads = beside === undefined ? [read] : [read, beside];
    const compiled = reads.map((one) => one.compile(ledger.db));
    const [, rows, besides] = await inOrder(session, [plain('begin'), ...compiled]);
    const writes = decide(
      (rows?.rows ?? []) as readonly Row[],
      (besides?.rows ?? []) as readonly Beside[],
    );
    if (writes === undefined) {
      await session.query('rollback', []);
      return undefined;
    }
    await nextTick();
    return await writeAndCommit(ledger, session, writes);
  } catch (error) {
    await session.query('rollback', []).catch(() => undefined);
    throw error;
  } finally {
    session.release();
  }
}

/**
 * `decide` may have begun a call of node:http, which leaves in the next tick: not only when all that is
 * written here has been put together and sent, since that call takes longer than this commit.
 */
function nextTick(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

async function writeAndCommit<Value>(
  ledger: LedgerDatabase,
  session: LedgerSession,
  { statements, result }: Writes<Value>,
): Promise<Value> {
  const compiled = statements.map((statement) => statement.compile(ledger.db));
  const answers = await inOrder(session, [...compiled, plain('commit')]);
  return result(answers.slice(0, -1).map(({ rows }) => rows));
}

type Statement = Pick<CompiledQuery, 'sql' | 'parameters'>;

function plain(sql: string): Statement {
  return { sql, parameters: [] };
}

/**
 * Sends all before the first answer; waits for every answer, then rejects with the first error. A
 * commit behind a statement that failed is answered as a rollback: the failure is what counts.
 */
async function inOrder(
  session: LedgerSession,
  statements: readonly Statement[],
): Promise<readonly PostgresQueryResult<unknown>[]> {
  const answers = session.together(() =>
    statements.map(({ sql, parameters }) => session.query(sql, parameters)),
  );
  await Promise.allSettled(answers);
  return await Promise.all(answers);
}
