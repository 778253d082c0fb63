import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { failure } from '../../src/foundation/failure.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import type { Admit, Ledger } from '../../src/ledger/ledger.ts';
import { LEASE_COLUMNS } from '../../src/ledger/postgres/lease-row.ts';
import {
  active,
  admission,
  AGENT,
  claimAll,
  death,
  late,
  minted,
  open,
} from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

let server: LedgerServer;
let ledger: TestLedger;
let first: Ledger;
let second: Ledger;

beforeAll(async () => {
  server = await startLedgerServer();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  ledger = await server.ledger();
  first = ledger.connect('replica-1', { poolSize: 10 });
  second = ledger.connect('replica-2', { poolSize: 10 });
  // All connections are open, or the first statements would come one after the other.
  await Promise.all(
    [first, second].flatMap((side) => Array.from({ length: 10 }, () => side.now())),
  );
});
afterEach(async () => {
  await ledger.close();
});

const CAP = 5;

function capped(more: Parameters<typeof admission>[1]): Admit {
  return (facts) =>
    facts.openLeases < CAP && facts.recentLeases < CAP
      ? succeed(admission(facts, more))
      : fail(failure('limit_open_leases', 'the cap'));
}

describe('caps under concurrency', () => {
  test('50 exchanges at once on two replicas, cap 5: exactly 5, one task', async () => {
    const attempts = Array.from({ length: 50 }, (_, n) => {
      const identifier = n % 2 === 0 ? 'shared' : `own-${n}`;
      return (n % 4 < 2 ? first : second).openLease(
        AGENT,
        identifier,
        capped({ task: { identifier } }),
      );
    });
    const results = await Promise.all(attempts);
    expect(results.filter(({ ok }) => ok)).toHaveLength(CAP);
    const facts = await first.readForExchange(AGENT.id, 'shared');
    expect(facts).toMatchObject({ openLeases: CAP, recentLeases: CAP });
  });

  test('one identifier from two replicas at once: one open task', async () => {
    const joined = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        open(n % 2 === 0 ? first : second, { identifier: 'same' }),
      ),
    );
    expect(new Set(joined.map(({ task }) => task.id)).size).toBe(1);
  });

  test('agents do not wait for each other', async () => {
    const client = new pg.Client({ connectionString: server.adminUrl(ledger.database).reveal() });
    await client.connect();
    await open(first);
    await client.query('begin');
    await client.query('select from mayfly.agent where id = $1 for update', [AGENT.id]);
    let opened = false;
    const waiting = open(first).then(() => (opened = true));
    await open(second, { agent: { id: 'report-writer', owner: 'x' } });
    expect(opened).toBe(false);
    await client.end();
    await waiting;
  });
});

describe('a completion that races an exchange of its task', () => {
  const end = { cause: 'completed', outcome: null, note: null, by: 'agent:x' } as const;

  /** Milliseconds by which the exchange and the completion start late; the last two are no race. */
  const HEAD_STARTS = [
    [0, 0],
    [1, 0],
    [0, 1],
    [2, 0],
    [0, 2],
    [4, 0],
    [0, 4],
    [0, 8],
    [60, 0],
    [0, 60],
  ] as const;

  test('either sees the lease and fences it, or the exchange is refused', async () => {
    let seen = 0;
    let refused = 0;
    for (let round = 0; round < 60; round++) {
      const identifier = `race-${round}`;
      const { task } = await open(first, { identifier });
      const admit: Admit = (facts) =>
        facts.task?.endedAt === null
          ? succeed({ ...admission(facts), openTask: null })
          : fail(failure('task_ended', 'ended'));
      const [openMs, endMs] = HEAD_STARTS[round % HEAD_STARTS.length] ?? [0, 0];
      const [opened, ended] = await Promise.all([
        soon(openMs).then(() => second.openLease(AGENT, identifier, admit)),
        soon(endMs).then(() => first.endTask({ taskId: task.id, ...end })),
      ]);
      if (opened.ok) {
        seen++;
        const { id } = opened.value.lease;
        expect(ended?.leases.map((lease) => lease.id)).toContain(id);
        expect((await first.lease(id))?.state).toBe('revoking');
      } else {
        refused++;
        expect(opened.failure.reason).toBe('task_ended');
        expect(ended?.leases).toHaveLength(1);
      }
    }
    // Both ends of the race were met, or this test shows nothing.
    expect(seen).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
  });

  test('a mint that ends at the same moment is either active before the fence or told of it', async () => {
    for (let round = 0; round < 40; round++) {
      const { lease, task } = await open(first);
      const [recorded] = await Promise.all([
        second.recordMint(minted(lease.id)),
        soon((round % 4) / 2).then(() => first.endTask({ taskId: task.id, ...end })),
      ]);
      expect(['active', 'revoking']).toContain(recorded.state);
      const after = await first.lease(lease.id);
      expect(after).toMatchObject({ state: 'revoking', mintOutcome: 'minted' });
      expect(after?.backendLeaseId).not.toBeNull();
      const kinds = (await first.events({ leaseId: lease.id })).map(({ kind }) => kind).sort();
      expect(kinds).toEqual(
        recorded.state === 'active'
          ? ['lease.activated', 'lease.fenced', 'lease.minting']
          : ['lease.fenced', 'lease.mint_ended', 'lease.minting'],
      );
    }
  });

  test('two completions: one ends it, both see the same', async () => {
    for (let round = 0; round < 30; round++) {
      const lease = await active(first);
      const [one, two] = await Promise.all(
        [first, second].map((side) => side.endTask({ taskId: lease.taskId, ...end })),
      );
      expect([one?.endedNow, two?.endedNow].sort()).toEqual([false, true]);
      expect(one?.task).toEqual(two?.task);
      expect(one?.leases).toEqual(two?.leases);
      const kinds = (await first.events({ taskId: lease.taskId })).map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === 'task.ended')).toHaveLength(1);
      expect(kinds.filter((kind) => kind === 'lease.fenced')).toHaveLength(1);
    }
  });
});

describe('who waited for a lease sees what it has become', () => {
  /** Both wait for the lease, in this order; then both go on. */
  async function inTurn(
    leaseId: string,
    before: () => Promise<unknown>,
    after: () => Promise<unknown>,
  ) {
    const client = new pg.Client({ connectionString: server.adminUrl(ledger.database).reveal() });
    await client.connect();
    await client.query('begin');
    await client.query('select from mayfly.lease where id = $1 for update', [leaseId]);
    const one = before();
    await waiting(1);
    const two = after();
    await waiting(2);
    await client.end();
    return await Promise.all([one, two]);
  }

  async function waiting(count: number): Promise<void> {
    for (;;) {
      const [row] = await ledger.query<{ waiting: number }>(
        `select count(*)::int as waiting from pg_stat_activity
         where wait_event_type = 'Lock' and datname = current_database()`,
      );
      if (row?.waiting === count) return;
      await soon(5);
    }
  }

  const end = { outcome: null, note: null, by: 'agent:x' };
  const byOperator = { cause: 'operator', reason: null, by: 'olivia' } as const;

  test('a mint record behind a completion', async () => {
    const { lease, task } = await open(first);
    const [, recorded] = await inTurn(
      lease.id,
      () => first.endTask({ taskId: task.id, cause: 'completed', ...end }),
      () => second.recordMint(minted(lease.id)),
    );
    expect(recorded).toMatchObject({
      state: 'revoking',
      endCause: 'completed',
      mintOutcome: 'minted',
    });
  });

  test('a completion behind a mint record', async () => {
    const { lease, task } = await open(first);
    const [recorded, ended] = await inTurn(
      lease.id,
      () => second.recordMint(minted(lease.id)),
      () => first.endTask({ taskId: task.id, cause: 'completed', ...end }),
    );
    expect(recorded).toMatchObject({ state: 'active' });
    expect(ended).toMatchObject({ leases: [{ state: 'revoking', mintOutcome: 'minted' }] });
  });

  test('two ends, two deaths, two settlements: the first one counts, once', async () => {
    const lease = await active(first);
    const [one, two] = await inTurn(
      lease.id,
      () => first.endLease({ leaseId: lease.id, ...byOperator }),
      () => second.endLease({ leaseId: lease.id, ...byOperator, cause: 'revoked_by_holder' }),
    );
    expect(one).toMatchObject({ fencedNow: true });
    expect(two).toEqual({ ...(one as object), fencedNow: false });
    const deaths = await inTurn(
      lease.id,
      () => first.recordDeaths([death(lease.id)]),
      () => second.recordDeaths([death(lease.id)]),
    );
    expect(deaths).toMatchObject([[{ state: 'revoked' }], []]);
    const settled = await inTurn(
      lease.id,
      () => first.recordSettled([lease.id], 'a'),
      () => second.recordSettled([lease.id], 'b'),
    );
    expect(settled).toMatchObject([[{ state: 'settled' }], []]);
    expect(await first.events({ leaseId: lease.id })).toHaveLength(5);
  });

  test('lateness behind a death changes nothing', async () => {
    const lease = await active(first);
    await first.endLease({ leaseId: lease.id, ...byOperator });
    await first.recordDeaths([death(lease.id)]);
    await inTurn(
      lease.id,
      () => first.recordSettled([lease.id], 'a'),
      () => second.recordLate([late(lease.id, { state: 'revoked' })]),
    );
    expect(await first.lease(lease.id)).toMatchObject({ state: 'settled', lateReason: null });
  });
});

describe('the sweep of several replicas', () => {
  /** Fenced leases that nobody has claimed, each of its own agent. */
  async function fencedLeases(count: number): Promise<string[]> {
    const leases = await Promise.all(
      Array.from({ length: count }, (_, n) =>
        active(first, { agent: { id: `agent-${n}`, owner: 'x' } }),
      ),
    );
    for (const { id } of leases) {
      await first.endLease({ leaseId: id, cause: 'operator', reason: null, by: 'olivia' });
    }
    await first.releaseClaims();
    return leases.map(({ id }) => id);
  }

  test('claims each due lease once', async () => {
    const due = await fencedLeases(40);
    for (let round = 0; round < 10; round++) {
      const sides = [first, second, first, second];
      const claimed = (await Promise.all(sides.map((side) => claimAll(side, 15)))).flat();
      expect(claimed.map(({ id }) => id).sort()).toEqual([...due].sort());
      await first.releaseClaims();
      await second.releaseClaims();
    }
  });

  test('batches in opposite order do not wait for each other', async () => {
    for (let round = 0; round < 8; round++) {
      const due = await fencedLeases(30);
      const back = due.toReversed();
      const [one, two] = await Promise.all([
        first.recordDeaths(due.map((id) => death(id))),
        second.recordDeaths(back.map((id) => death(id))),
      ]);
      expect(one.length + two.length).toBe(30);
      const allLate = (ids: string[]) => ids.map((id) => late(id, { state: 'revoked' }));
      await Promise.all([first.recordLate(allLate(due)), second.recordLate(allLate(back))]);
      const [three, four] = await Promise.all([
        first.recordSettled(due, 'a'),
        second.recordSettled(back, 'b'),
      ]);
      expect(three.length + four.length).toBe(30);
    }
  });
});

function soon(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe('a stop and the exchanges that were under way', () => {
  test('one that may not have seen it is named until it ends; one that comes later is none', async () => {
    const url = ledger.administration.address('app').url.reveal();
    const exchanging = new pg.Client({ connectionString: url });
    await exchanging.connect();
    try {
      await exchanging.query('begin');
      await exchanging.query("select now from mayfly.lock_for_exchange('one', 'task')");
      const [older, ...none] = await first.exchangesUnderWay();
      expect(older).toBeDefined();
      expect(none).toEqual([]);
      expect(await second.exchangesUnderWay()).toEqual([older]);
      await exchanging.query('commit');
      await exchanging.query('begin');
      await exchanging.query("select now from mayfly.lock_for_exchange('one', 'task')");
      const later = await first.exchangesUnderWay();
      expect(later).toHaveLength(1);
      expect(later).not.toContain(older);
    } finally {
      await exchanging.end();
    }
    expect(await first.exchangesUnderWay()).toEqual([]);
  });

  test('quarantine waits for the exchange that holds the lock, and finds its lease', async () => {
    for (let round = 0; round < 20; round++) {
      const one = { id: `agent-${round}`, owner: AGENT.owner };
      const opening = Array.from({ length: 8 }, (_, n) =>
        (n % 2 === 0 ? first : second).openLease(one, `task-${n}`, (facts) =>
          succeed(admission(facts, { task: { identifier: `task-${n}` } })),
        ),
      );
      const stopped = await second.quarantineAgent({ agentId: one.id, by: 'x', reason: 'y' });
      const [counted] = await ledger.query<{ n: number }>(
        'select count(*)::integer as n from mayfly.lease where agent_id = $1',
        [one.id],
      );
      const opened = (await Promise.all(opening)).filter(({ ok }) => ok);
      expect(stopped.changed).toBe(true);
      expect(opened).toHaveLength(counted?.n ?? -1);
    }
  });
});

test('the end of a task answers all that may live, the newest 200 of the dead, and a count', async () => {
  const many = { identifier: 'many', agent: AGENT };
  const { lease, task } = await open(first, many);
  const refused = (await open(first, many)).lease.id;
  await first.recordMint({ ...minted(refused), outcome: 'refused' });
  const same = LEASE_COLUMNS.filter((column) => column !== 'id' && column !== 'credential_name');
  await ledger.query(
    `insert into mayfly.lease (id, credential_name, request_sha256, ${same.join()})
     select mayfly.event_id(mayfly.ledger_now()), 'copy-' || n, request_sha256, ${same.join()}
     from mayfly.lease, generate_series(1, 203) as n where id = $1`,
    [refused],
  );
  await active(first, many);
  const end = { cause: 'completed', outcome: null, note: null, by: 'agent:x' } as const;
  const ended = await first.endTask({ taskId: task.id, ...end });
  const states = ended?.leases.map(({ state }) => state) ?? [];
  expect(ended?.leaseCount).toBe(206);
  expect(states.filter((state) => state === 'abandoned')).toHaveLength(200);
  expect(states.filter((state) => state === 'revoking')).toHaveLength(2);
  // The oldest of all lives, so it is there; the newest is too.
  expect(ended?.leases[0]?.id).toBe(lease.id);
});
