import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Lease, NewAuditEvent } from '../../src/ledger/lease.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { active, admitAll, AGENT, death, ids } from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

/** Milliseconds in which an ending answers; whoever waits for a connection or a row waits 3 s. */
const PROMPT_MS = 1_500;
const POOL = 10;
const OTHER = { id: 'report-writer', owner: 'x' };

let server: LedgerServer;
let ledger: TestLedger;
let replica: Ledger;
/** A transaction of somebody else: a replica that was stopped between its lock and its commit. */
let holder: pg.Client;

beforeAll(async () => {
  server = await startLedgerServer();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  ledger = await server.ledger();
  replica = ledger.connect('replica-1', { poolSize: POOL });
  await Promise.all(Array.from({ length: POOL }, () => replica.now()));
  holder = new pg.Client({ connectionString: server.adminUrl(ledger.database).reveal() });
  await holder.connect();
});
afterEach(async () => {
  await holder.end();
  await ledger.close();
});

describe('while an agent’s row is held', () => {
  test('50 of its exchanges wait, and endings, stops and the sweep answer; then all of them pass', async () => {
    await hold([AGENT]);
    const leases = await leasesToEnd();
    const waiting = exchangesOf(AGENT, 50);
    await until(async () => (await blocked()) > 0);
    await endAllPromptly(leases);
    // One stands right behind whoever has the row; more would only take connections.
    expect(await blocked()).toBe(2);
    await holder.query('commit');
    expect((await Promise.all(waiting)).every((outcome) => outcome === 'opened')).toBe(true);
  });

  test('its quarantine takes a place right behind two of them', async () => {
    await hold([AGENT]);
    const waiting = exchangesOf(AGENT, 50);
    await until(async () => (await blocked()) > 0);
    const stopped = replica.quarantineAgent({ agentId: AGENT.id, by: 'olivia', reason: 'odd' });
    await until(async () => (await blocked()) === 3);
    await holder.query('commit');
    expect((await promptly('quarantineAgent', () => stopped)).changed).toBe(true);
    const outcomes = await Promise.all(waiting);
    expect(outcomes.filter((outcome) => outcome === 'opened').length).toBeLessThan(10);
    expect(outcomes.filter((outcome) => outcome === 'agent_quarantined').length).toBeGreaterThan(
      40,
    );
  });

  test('what waits too long is told so, and the next one gets its turn', async () => {
    await hold([AGENT]);
    const seen = exchangesOf(AGENT, 6);
    expect(await Promise.all(seen.slice(3))).toEqual(
      Array<string>(3).fill('LedgerUnreachable: Too many wait for the ledger at this replica.'),
    );
    expect(await seen[0]).toContain('The ledger cannot answer');
    await holder.query('commit');
    expect(await seen[1]).toMatch(/opened|cannot answer/);
    expect(await Promise.all(exchangesOf(AGENT, 3))).toEqual(['opened', 'opened', 'opened']);
  });
});

test('many agents whose rows are held take no more than the exchanges’ share', async () => {
  const agents = Array.from({ length: 8 }, (_, n) => ({ id: `agent-${n}`, owner: 'x' }));
  await hold(agents);
  const leases = await leasesToEnd();
  const waiting = agents.flatMap((agent) => exchangesOf(agent, 3));
  await until(async () => (await blocked()) > 0);
  await endAllPromptly(leases);
  expect(await blocked()).toBe(6);
  await holder.query('commit');
  expect((await Promise.all(waiting)).every((outcome) => outcome === 'opened')).toBe(true);
});

test('completions of one task take two connections, however many there are', async () => {
  const held = await active(replica);
  const leases = await leasesToEnd();
  await holder.query('begin');
  await holder.query('select from mayfly.task where id = $1 for share', [held.taskId]);
  const waiting = outcomes(50, async () =>
    (await replica.endTask(completion(held)))?.endedNow ? 'ended' : 'had ended',
  );
  await until(async () => (await blocked()) > 0);
  await endAllPromptly(leases);
  expect(await blocked()).toBe(2);
  await holder.query('commit');
  expect((await Promise.all(waiting)).sort()).toEqual([
    'ended',
    ...Array<string>(49).fill('had ended'),
  ]);
});

test('denials of one agent take two connections, and leave the exchanges of others their places', async () => {
  await holder.query('begin');
  // What each denial writes to, and no look does.
  await holder.query('lock table mayfly.audit_event in share mode');
  const waiting = outcomes(50, async () => {
    await replica.recordDenial(denial());
    return 'recorded';
  });
  await until(async () => (await blocked()) > 0);
  await promptly('readForExchange', () => replica.readForExchange(OTHER.id, 'task-1'));
  expect(await blocked()).toBe(2);
  await holder.query('commit');
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['recorded']));
});

test('slow lists fill their share, and no more: endings and the sweep go on', async () => {
  const leases = await leasesToEnd();
  await holder.query('begin');
  // What lists of agents read, and no ending does.
  await holder.query('lock table mayfly.agent in access exclusive mode');
  const lists = outcomes(30, async () => (await replica.agents())[0]?.id ?? 'none');
  await until(async () => (await blocked()) > 0);
  await endPromptly(leases);
  expect(await blocked()).toBe(2);
  await holder.query('commit');
  expect(new Set(await Promise.all(lists))).toEqual(new Set([OTHER.id]));
});

async function hold(agents: readonly { readonly id: string }[]): Promise<void> {
  const ids = agents.map(({ id }) => id);
  await ledger.query(
    'insert into mayfly.agent (id, first_seen_at) select unnest($1::text[]), mayfly.ledger_now()',
    [ids],
  );
  await holder.query('begin');
  await holder.query('select from mayfly.agent where id = any($1) for update', [ids]);
}

/** Each comes to what an exchange would: a lease, a refusal, or a ledger out of reach. */
function exchangesOf(agent: typeof AGENT, count: number): Promise<string>[] {
  return outcomes(count, async (n) => {
    const identifier = `task-${n}`;
    const opened = await replica.openLease(agent, identifier, admitAll({ task: { identifier } }));
    return opened.ok ? 'opened' : opened.failure.reason;
  });
}

function outcomes(count: number, run: (n: number) => Promise<string>): Promise<string>[] {
  return Array.from({ length: count }, (_, n) => run(n).catch(String));
}

type ToEnd = readonly [Lease, Lease, Lease];

async function leasesToEnd(): Promise<ToEnd> {
  return [
    await active(replica, { agent: OTHER }),
    await active(replica, { agent: OTHER }),
    await active(replica, { agent: OTHER, lease: { deadline: new Date(Date.now() + 2_500) } }),
  ];
}

async function endPromptly([first, second, third]: ToEnd): Promise<void> {
  const ended = await promptly('endTask', () => replica.endTask(completion(first)));
  expect(ended?.endedNow).toBe(true);
  const fenced = await promptly('endLease', () =>
    replica.endLease({ leaseId: second.id, cause: 'operator', reason: null, by: 'olivia' }),
  );
  expect(fenced).toMatchObject({ fencedNow: true, lease: { state: 'revoking' } });
  await ledger.shiftClock(10);
  const claimed = await promptly('claimDue', () => replica.claimDue('end', 'orders', 10));
  expect(claimed.map(({ id }) => id)).toContain(third.id);
  const died = await promptly('recordDeaths', () => replica.recordDeaths([death(first.id)]));
  expect(died.map(({ id }) => id)).toEqual([first.id]);
}

async function endAllPromptly(leases: ToEnd): Promise<void> {
  await endPromptly(leases);
  const stop = { agentId: OTHER.id, by: 'olivia', reason: 'odd' };
  expect((await promptly('quarantine', () => replica.quarantineAgent(stop))).changed).toBe(true);
}

function denial(): NewAuditEvent {
  const body = { decision: 'deny', reason: 'agent_quarantined' };
  const of = { agentId: AGENT.id, taskId: null, leaseId: null };
  return { id: ids.uuid(), kind: 'decision.denied', ...of, body };
}

function completion({ taskId }: Lease) {
  return { taskId, cause: 'completed', outcome: null, note: null, by: 'agent:x' } as const;
}

async function promptly<Value>(what: string, work: () => Promise<Value>): Promise<Value> {
  const started = performance.now();
  const done = await work();
  const ms = performance.now() - started;
  if (ms > PROMPT_MS) throw new Error(`${what} took ${Math.round(ms)} ms`);
  return done;
}

/** Sessions that wait for a row or a table. */
async function blocked(): Promise<number> {
  const [row] = await ledger.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where wait_event_type = 'Lock' and datname = current_database()`,
  );
  return row?.count ?? 0;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 5_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
