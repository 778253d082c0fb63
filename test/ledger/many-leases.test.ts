import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely';
import type { CompiledQuery } from 'kysely';
import pg from 'pg';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { countClosed } from '../../src/ledger/postgres/count-closed.ts';
import { countLeases } from '../../src/ledger/postgres/count-leases.ts';
import { endTimedOutTasks } from '../../src/ledger/postgres/end-timed-out-tasks.ts';
import { lateTargets } from '../../src/ledger/postgres/late-targets.ts';
import { connectionConfig } from '../../src/ledger/postgres/ledger-address.ts';
import { listLeases } from '../../src/ledger/postgres/list-leases.ts';
import type { LedgerDatabase, LedgerTables } from '../../src/ledger/postgres/ledger-database.ts';
import { LEASE_COLUMNS } from '../../src/ledger/postgres/lease-row.ts';
import { active, death } from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

/** Leases that were settled long ago, half of them of one task. */
const SETTLED = 300_000;

/** Pages of 8 KiB: a statement that read each settled lease would touch a hundred times as many. */
const PAGES_FEW = 2_000;

/** The same while no page is known to be visible to all: each of 10,000 that are counted is looked at. */
const PAGES_UNSEEN = 10_000;

/** Rows: more than these tests leave alive. */
const FEW = 30;

const ALARMS = { notDeadSeconds: 10, notSettledSeconds: 300 };

let server: LedgerServer;
let ledger: TestLedger;
let first: Ledger;
/** The task of half of all leases; it is open. */
let manyTask: string;

beforeAll(async () => {
  server = await startLedgerServer();
  ledger = await server.ledger();
  first = ledger.connect();
  manyTask = await settledLeases('many', SETTLED / 2);
  await settledLeases('others', SETTLED / 2);
}, 240_000);
afterAll(async () => {
  await ledger.close();
  await server.stop();
});

/** An open task and so many leases of it that are settled, by copying one that went all the way. */
async function settledLeases(identifier: string, count: number): Promise<string> {
  const { id, taskId } = await active(first, { identifier });
  await first.endLease({ leaseId: id, cause: 'operator', reason: null, by: 'olivia' });
  await first.recordDeaths([death(id)]);
  await first.recordSettled([id], 'revoked at the backend');
  const same = LEASE_COLUMNS.filter((column) => column !== 'id' && column !== 'credential_name');
  await ledger.query(
    `insert into mayfly.lease (id, credential_name, request_sha256, ${same.join()})
     select mayfly.event_id(mayfly.ledger_now()), '${identifier}-' || n, request_sha256, ${same.join()}
     from mayfly.lease, generate_series(1, ${count}) as n where id = $1`,
    [id],
  );
  return taskId;
}

/** As the broker's sessions are, for one caller. */
async function withSession<Value>(work: (session: pg.Client) => Promise<Value>): Promise<Value> {
  const session = new pg.Client(connectionConfig(ledger.administration.address('app')));
  await session.connect();
  try {
    return await work(session);
  } finally {
    await session.end();
  }
}

type Plan = {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Plan[];
};

async function planOf(session: pg.Client, text: string, values: readonly unknown[] = []) {
  const { rows } = await session.query<{ 'QUERY PLAN': readonly [{ readonly Plan: Plan }] }>(
    `explain (analyze, buffers, timing off, format json) ${text}`,
    [...values],
  );
  const plan = rows[0]?.['QUERY PLAN'][0].Plan;
  if (!plan) throw new Error('no plan');
  return plan;
}

function pagesOf(plan: Plan): number {
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

/** Every scan of a table or an index in it, with how many rows it looked at. */
function scansOf(plan: Plan): readonly { readonly by: string; readonly rows: number }[] {
  const looked = plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0);
  const of = plan['Index Name'] ?? plan['Relation Name'];
  const own = { by: `${plan['Node Type']} ${of ?? ''}`, rows: looked * plan['Actual Loops'] };
  return [...(of === undefined ? [] : [own]), ...(plan.Plans ?? []).flatMap(scansOf)];
}

/** The statements of this operation: they go nowhere, and what it makes of no answer is its own. */
async function statementsOf(
  operation: (on: LedgerDatabase) => Promise<unknown>,
): Promise<readonly CompiledQuery[]> {
  const statements: CompiledQuery[] = [];
  const db = new Kysely<LedgerTables>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (on) => new PostgresIntrospector(on),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    log: ({ query }) => void statements.push(query),
  });
  const on = { db, replica: 'replica-1', claimSeconds: 15 } as unknown as LedgerDatabase;
  await operation(on).catch(() => undefined);
  expect(statements).not.toEqual([]);
  return statements;
}

/** What an operation does, as the broker's sessions run it; nothing of it stays. */
async function plansOf(operation: (on: LedgerDatabase) => Promise<unknown>): Promise<Plan[]> {
  const statements = await statementsOf(operation);
  return withSession(async (session) => {
    const plans: Plan[] = [];
    await session.query('begin');
    for (const { sql, parameters } of statements) {
      plans.push(await planOf(session, sql, parameters));
    }
    await session.query('rollback');
    return plans;
  });
}

/** What ending this task reads, in all statements of the function together; it is not ended. */
function pagesOfEnd(taskId: string): Promise<number> {
  const end = (task: string) =>
    `select * from mayfly.end_task('${task}', null, 'completed', null, null, 'completed', 'x', 20,
      '{}', '{}', '{}')`;
  return withSession(async (session) => {
    const other = await active(first);
    await session.query('begin');
    // The first call of a session plans the function's statements.
    await session.query(end(other.taskId));
    const plan = await planOf(session, end(taskId));
    await session.query('rollback');
    return pagesOf(plan);
  });
}

describe.each([
  ['before the first look of autovacuum', PAGES_UNSEEN],
  ['after it', PAGES_FEW],
])(`with ${SETTLED} settled leases, %s`, (when, pagesOfManyTask) => {
  beforeAll(async () => {
    if (when === 'after it') await ledger.query('vacuum analyze mayfly.lease');
  });

  test('the alarms read what is not closed, and nothing else', async () => {
    await active(first);
    const plans = [
      ...(await plansOf((on) => countLeases(on, ALARMS))),
      ...(await plansOf((on) => lateTargets(on, ALARMS, 100))),
    ];
    expect(plans.flatMap(scansOf).filter(({ rows }) => rows > FEW)).toEqual([]);
    expect(Math.max(...plans.map(pagesOf))).toBeLessThan(PAGES_FEW);
  });

  test('one statement that counts what is closed reads a page of it', async () => {
    const plans = await plansOf((on) => countClosed(on, 1_000, null));
    expect(plans.flatMap(scansOf).filter(({ rows }) => rows > 1_000)).toEqual([]);
    expect(Math.max(...plans.map(pagesOf))).toBeLessThan(PAGES_FEW);
  });

  test('a page of the leases of a task that had half of them reads a page', async () => {
    // With a state beside it the planner knows the way once it has statistics.
    const filters = [{}, ...(when === 'after it' ? [{ states: ['settled'] as const }] : [])];
    for (const filter of filters) {
      const plans = await plansOf((on) =>
        listLeases(on, { taskId: manyTask, ...filter }, 100, null),
      );
      expect(plans.flatMap(scansOf).filter(({ rows }) => rows > 101)).toEqual([]);
    }
  });

  test('a task that had half of them is ended by a bounded look', async () => {
    expect(await pagesOfEnd(manyTask)).toBeLessThan(pagesOfManyTask);
  });

  test('and by one no larger where its deadline has passed', async () => {
    await ledger.shiftClock(3600);
    const plans = await plansOf((on) => endTimedOutTasks(on, 500));
    await ledger.shiftClock(0);
    const scans = plans.flatMap(scansOf);
    expect(scans).toContainEqual(
      expect.objectContaining({ by: expect.stringMatching(/task_live/) }),
    );
    expect(scans.filter(({ rows }) => rows > FEW)).toEqual([]);
    expect(Math.max(...plans.map(pagesOf))).toBeLessThan(PAGES_FEW);
  });
});

test('the end of that task says of each lease what it said before', async () => {
  const { id } = await active(first, { identifier: 'many' });
  const end = { cause: 'completed', outcome: null, note: null, by: 'agent:x' } as const;
  const ended = await first.endTask({ taskId: manyTask, ...end });
  const states = ended?.leases.map(({ state }) => state) ?? [];
  expect(states.filter((state) => state === 'settled')).toHaveLength(200);
  expect(ended?.leases.filter(({ state }) => state === 'revoking')).toMatchObject([{ id }]);
  expect(ended?.leases.at(-1)?.id).toBe(id);
  expect(ended?.leaseCount).toBe(10_000);
});
