import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { connectLedger } from '../../src/ledger/postgres/connect-ledger.ts';
import type { ConnectedLedger } from '../../src/ledger/postgres/connect-ledger.ts';
import { asked, startStandby, waitForStandbys } from '../support/standby.ts';
import type { Standby } from '../support/standby.ts';
import {
  active,
  admitAll,
  AGENT,
  claimAll,
  death,
  ids,
  late,
  minted,
  open,
} from './support/examples.ts';
import { silent, startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import type { TcpProxy } from './support/tcp-proxy.ts';

let server: LedgerServer;
let ledger: TestLedger;
let proxy: TcpProxy;

beforeAll(async () => {
  server = await startLedgerServer();
  ledger = await server.ledger();
  proxy = await startTcpProxy(server.postgres.port);
});
afterAll(async () => {
  await ledger.close();
  await proxy.stop();
  await server.stop();
});

/** Every operation, as a caller would use it on this lease. */
function operations(
  on: Ledger,
  lease: { id: string; taskId: string },
): Record<string, () => Promise<unknown>> {
  const end = { outcome: null, note: null, by: 'agent:x' };
  return {
    installation: () => on.installation(),
    now: () => on.now(),
    readForExchange: () => on.readForExchange(AGENT.id, 'x'),
    openLease: () => open(on),
    recordDenial: () =>
      on.recordDenial({
        id: ids.uuid(),
        kind: 'decision.denied',
        agentId: null,
        taskId: null,
        leaseId: null,
        body: {},
      }),
    recordMint: () => on.recordMint(minted(lease.id)),
    endTask: () => on.endTask({ taskId: lease.taskId, cause: 'completed', ...end }),
    endLease: () =>
      on.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' }),
    endTimedOutTasks: () => on.endTimedOutTasks(10),
    dueTargets: () => on.dueTargets(10),
    claimDue: () => on.claimDue('end', 'orders', 10),
    claimResidue: () => on.claimResidue(10),
    recordDeaths: () => on.recordDeaths([death(lease.id)]),
    recordSettled: () => on.recordSettled([lease.id], 'sync revoke'),
    recordResidue: () => on.recordResidue(lease.id, null, 0),
    recordLate: () => on.recordLate([late(lease.id)]),
    releaseClaims: () => on.releaseClaims(),
    recordResurrected: () => on.recordResurrected(lease.id, {}),
    lease: () => on.lease(lease.id),
    leaseByName: () => on.leaseByName('x'),
    leaseByCredential: () => on.leaseByCredential(Buffer.alloc(32)),
    leases: () => on.leases({}, 10, null),
    task: () => on.task(lease.taskId),
    tasks: () => on.tasks({}, 10, null),
    events: () => on.events({ leaseId: lease.id }),
    counts: () => on.counts({ notDeadSeconds: 10, notSettledSeconds: 300 }),
  };
}

test('a server that dies in the middle of any operation, and one that is gone: unreachable; then all is well again', async () => {
  const replica = ledger.connect('replica-1', { poolSize: 40 });
  const lease = await active(replica);
  const all = operations(replica, lease);
  const blocker = new pg.Client({ connectionString: server.adminUrl(ledger.database).reveal() });
  blocker.on('error', () => undefined);
  await blocker.connect();
  await blocker.query(
    'begin; lock table mayfly.agent, mayfly.opening, mayfly.task, mayfly.lease, mayfly.audit_event, mayfly.installation',
  );
  const blocked = { ...all };
  // Asks no table, so nothing blocks it.
  delete blocked.now;
  const under = Object.entries(blocked).map(async ([name, run]) => [name, await outcome(run)]);
  await until(async () => (await waiting()) === Object.keys(blocked).length);
  server.postgres.kill('SIGQUIT');
  expect(Object.fromEntries(await Promise.all(under))).toEqual(
    everyOne(blocked, 'LedgerUnreachable'),
  );
  await server.postgres.exited;
  expect(Object.fromEntries(await outcomes(all))).toEqual(everyOne(all, 'LedgerUnreachable'));
  await server.restart();
  const after = await active(replica);
  expect(Object.fromEntries(await outcomes(operations(replica, after)))).toEqual(
    everyOne(all, 'done'),
  );

  async function waiting(): Promise<number> {
    const rows = await ledger.query<{ waiting: number }>(
      `select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
    return rows[0]?.waiting ?? 0;
  }
});

describe('an answer that is lost', () => {
  test('of a commit: rejected, the lease stays minting, and the sweep finds it by its mint deadline', async () => {
    const replica = behindProxy();
    await replica.now();
    const agent = { id: `agent-${ids.uuid()}`, owner: 'x' };
    let leaseId = '';
    proxy.cutAfter('commit');
    const opening = replica.openLease(agent, 'lost', (facts) => {
      const admitted = admitAll({ task: { identifier: 'lost' } })(facts);
      if (admitted.ok) leaseId = admitted.value.lease.id;
      return admitted;
    });
    await expect(opening).rejects.toThrow(LedgerUnreachable);
    const other = ledger.connect('replica-2');
    await until(async () => (await other.lease(leaseId)) !== null);
    expect(await other.lease(leaseId)).toMatchObject({ state: 'minting' });
    await ledger.shiftClock(11);
    const claimed = (await claimAll(other, 100)).find(({ id }) => id === leaseId);
    await ledger.shiftClock(0);
    expect(claimed).toMatchObject({ state: 'revoking', endCause: 'mint_lost', mintOutcome: null });
    await replica.close();
  });

  test('of a mint record: rejected, and the repetition answers what was committed', async () => {
    const replica = behindProxy();
    const { lease } = await open(replica);
    const record = minted(lease.id);
    proxy.cutAfter(record.backendLeaseId);
    await expect(replica.recordMint(record)).rejects.toThrow(LedgerUnreachable);
    await until(async () => (await replica.lease(lease.id))?.state === 'active');
    expect(await replica.recordMint(record)).toMatchObject({ state: 'active' });
    expect((await replica.events({ leaseId: lease.id })).map(({ kind }) => kind)).toEqual([
      'lease.minting',
      'lease.activated',
    ]);
    await replica.close();
  });

  test('a server that says nothing is given up, and its connection with it', async () => {
    const replica = behindProxy();
    await replica.now();
    const before = proxy.connections();
    proxy.swallow(true);
    const started = Date.now();
    await expect(replica.now()).rejects.toThrow(LedgerUnreachable);
    expect(Date.now() - started).toBeLessThan(9_000);
    proxy.swallow(false);
    await expect(replica.now()).resolves.toBeInstanceOf(Date);
    expect(proxy.connections()).toBe(before + 1);
    await replica.close();
  });

  function behindProxy() {
    const { url } = ledger.administration.address('app');
    const through = new SecretText(url.reveal().replace(/:\d+\//, `:${proxy.port}/`));
    return connectLedger({
      url: through,
      poolSize: 1,
      replica: 'replica-1',
      claimSeconds: 15,
      clock: systemClock,
      log: silent,
    });
  }
});

describe('a server that is no primary any more', () => {
  test('is unreachable, and is left as soon as there is one again', async () => {
    const replica = ledger.connect('replica-3', { poolSize: 1 });
    const lease = await active(replica);
    await ledger.query('alter system set default_transaction_read_only = on');
    await ledger.query('select pg_reload_conf()');
    const end = () =>
      replica.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
    await until(async () => (await outcome(end)) === 'LedgerUnreachable');
    await expect(replica.now()).rejects.toThrow(/not the primary/);
    await writable('alter system reset default_transaction_read_only');
    await writable('select pg_reload_conf()');
    await until(async () => (await outcome(end)) === 'done');
    expect((await replica.lease(lease.id))?.state).toBe('revoking');
  });

  test('F-REV-16: is not read either, on no connection that was open before', async () => {
    const replica = ledger.connect('replica-6', { poolSize: 3 });
    const lease = await active(replica);
    // Three connections, all of them idle when the server changes.
    await Promise.all([replica.now(), replica.now(), replica.now()]);
    await ledger.query('alter system set default_transaction_read_only = on');
    await ledger.query('select pg_reload_conf()');
    await until(async () => (await outcome(() => replica.lease(lease.id))) === 'LedgerUnreachable');
    for (const read of [
      () => replica.now(),
      () => replica.lease(lease.id),
      () => replica.readForExchange(AGENT.id, 'x'),
      () => replica.leases({}, 10, null),
    ]) {
      await expect(read()).rejects.toThrow(/not the primary/);
    }
    await writable('alter system reset default_transaction_read_only');
    await writable('select pg_reload_conf()');
    await until(async () => (await outcome(() => replica.lease(lease.id))) === 'done');
  });

  async function writable(text: string): Promise<void> {
    const client = new pg.Client({
      connectionString: server.adminUrl(ledger.database).reveal(),
      options: '-c default_transaction_read_only=off',
    });
    await client.connect();
    await client.query(text);
    await client.end();
  }
});

describe('a primary that dies, with a standby beside it', () => {
  let standby: Standby;
  let replica: ConnectedLedger;
  const folder = () => join(dirname(server.postgres.dataDir), 'standby');

  beforeAll(async () => {
    standby = await startStandby(server.adminUrl(ledger.database).reveal(), folder());
    const { url } = ledger.administration.address('app');
    const hosts = `127.0.0.1:${standby.postgres.port},127.0.0.1:${server.postgres.port}`;
    const both = url.reveal().replace(`127.0.0.1:${server.postgres.port}`, hosts);
    replica = connectLedger({
      url: new SecretText(`${both}?target_session_attrs=read-write`),
      poolSize: 3,
      replica: 'replica-7',
      claimSeconds: 15,
      clock: systemClock,
      log: silent,
    });
  });
  afterAll(async () => {
    await replica?.close();
    await standby?.postgres.stop();
  });

  test('F-REV-16: the standby, named first, is neither read nor written', async () => {
    const lease = await active(replica);
    expect(await ledger.query('select from mayfly.lease where id = $1', [lease.id])).toHaveLength(
      1,
    );
    const byItself = connectLedger({
      url: new SecretText(
        ledger.administration
          .address('app')
          .url.reveal()
          .replace(`:${server.postgres.port}`, `:${standby.postgres.port}`),
      ),
      poolSize: 1,
      replica: 'replica-8',
      claimSeconds: 15,
      clock: systemClock,
      log: silent,
    });
    await expect(byItself.lease(lease.id)).rejects.toThrow(/not the primary/);
    await byItself.close();
  });

  test('promoted, it is followed; the old primary, back and writable, is refused', async () => {
    await waitForStandbys(server.adminUrl().reveal());
    await until(async () => (await standbys()) === 1);
    const kept = await active(replica);
    server.postgres.kill('SIGKILL');
    await server.postgres.exited;
    await expect(replica.now()).rejects.toThrow(LedgerUnreachable);
    // Not yet promoted: it has all, and is asked for nothing.
    await expect(replica.lease(kept.id)).rejects.toThrow(/primary/);
    await standby.promote();
    expect((await replica.lease(kept.id))?.state).toBe('active');
    await active(replica);

    await asked(standby.url(), 'alter system reset synchronous_standby_names');
    await server.restart();
    await asked(server.adminUrl().reveal(), 'alter system reset synchronous_standby_names');
    await asked(server.adminUrl().reveal(), 'select pg_reload_conf()');
    standby.postgres.kill('SIGKILL');
    await standby.postgres.exited;
    await expect(replica.lease(kept.id)).rejects.toThrow(/primary|57P01/);
    await expect(open(replica)).rejects.toThrow(LedgerUnreachable);
    // One that knows nothing of the other believes it; that is why an old primary must be fenced.
    expect(await ledger.connect('replica-9').now()).toBeInstanceOf(Date);
  });

  async function standbys(): Promise<number> {
    const rows = await ledger.query(
      "select from pg_stat_replication where state = 'streaming' and sync_state = 'sync'",
    );
    return rows.length;
  }
});

describe('an exhausted or closed pool', () => {
  test('a caller that gets no connection is told so', async () => {
    const replica = ledger.connect('replica-4', { poolSize: 1 });
    // Keeps the only connection longer than others wait for one.
    const held = replica.openLease(AGENT, 'held', (facts) => {
      const end = Date.now() + 3_500;
      while (Date.now() < end) continue;
      return admitAll({ task: { identifier: 'held' } })(facts);
    });
    await expect(replica.now()).rejects.toThrow(LedgerUnreachable);
    expect((await held).ok).toBe(true);
    expect(await outcome(() => open(replica))).toBe('done');
  });

  test('after closing, everything is unreachable', async () => {
    const replica = ledger.connect('replica-5');
    await replica.now();
    await replica.close();
    await replica.close();
    await expect(replica.now()).rejects.toThrow();
  });
});

async function outcome(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return 'done';
  } catch (error) {
    return error instanceof Error ? error.name : 'other';
  }
}

async function outcomes(
  runs: Record<string, () => Promise<unknown>>,
): Promise<(readonly [string, string])[]> {
  const results: (readonly [string, string])[] = [];
  for (const [name, run] of Object.entries(runs)) results.push([name, await outcome(run)]);
  return results;
}

function everyOne(runs: Record<string, unknown>, result: string): Record<string, string> {
  return Object.fromEntries(Object.keys(runs).map((name) => [name, result]));
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
