import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { asked, startStandby, waitForStandbys } from '../support/standby.ts';
import type { Standby } from '../support/standby.ts';
import { allAccounted } from './support/accounts.ts';
import { canLogin, complete, exchange, get, granted, until } from './support/agent.ts';
import type { Answer } from './support/agent.ts';
import { oracle } from './support/oracle.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPostgresWire } from './support/postgres-wire.ts';
import type { Passage, PostgresWire } from './support/postgres-wire.ts';
import { PROVE } from './support/scale.ts';

const proven = PROVE ? describe : describe.skip;

type Granted = { readonly leaseId: string; readonly taskId: string; readonly uri: string };

/** Exchanges of so many callers at a time, until told to stop; every second task is completed. */
function load(broker: BrokerProcess, token: string, lanes: number) {
  const answers: string[] = [];
  const grants: Granted[] = [];
  let stop = false;
  const running = Array.from({ length: lanes }, async (_, lane) => {
    for (let round = 0; !stop; round++) {
      const wanted = { identifier: `${lane}-${round}-${Math.random()}`, ttl: 120 };
      const answer = await exchange(broker.url, token, wanted);
      answers.push(wordOf(answer));
      if (answer.status !== 200) continue;
      const grant = {
        leaseId: String(answer.body['lease_id']),
        taskId: String(answer.body['task_id']),
        uri: String(answer.body['access_token']),
      };
      grants.push(grant);
      if (round % 2 === 0) answers.push(wordOf(await complete(broker.url, token, grant.taskId)));
    }
  });
  return {
    answers,
    grants,
    stop: async () => {
      stop = true;
      await Promise.all(running);
    },
  };
}

function wordOf({ status, body }: Answer): string {
  const reason = body['error_reason'] ?? body['reason'];
  return `${status} ${typeof reason === 'string' ? reason : 'ok'}`;
}

function tally(answers: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

/** Answers that a failover may give. */
const HONEST = /^(20[02] |503 ledger_unreachable|503 mint_unknown)/;

proven('the primary of the ledger killed under load', () => {
  let path: PathWorld;
  let standby: Standby;
  let broker: BrokerProcess;
  let token: string;

  beforeAll(async () => {
    path = await startPathWorld();
    const ledgerUrl = path.world.admin.ledgerUrl.reveal();
    standby = await startStandby(ledgerUrl, join(path.world.folder, 'standby'));
    await waitForStandbys(ledgerUrl);
    const file = path.world.settings['MAYFLY_LEDGER_URL_FILE'] ?? '';
    const own = `127.0.0.1:${path.world.ledger.port}`;
    const both = (await readFile(file, 'utf8')).replace(
      own,
      `127.0.0.1:${standby.postgres.port},${own}`,
    );
    const bothFile = join(path.world.folder, 'ledger-hosts');
    await writeFile(bothFile, both, { mode: 0o600 });
    broker = await path.broker({ settings: { MAYFLY_LEDGER_URL_FILE: bothFile } });
    token = await path.token();
  }, 90_000);

  afterAll(async () => {
    await path?.stop();
    await standby?.postgres.stop();
  }, 60_000);

  test('and restarted: nothing is lost, nothing is answered that is not so', async () => {
    const kept = await granted(broker.url, token, { identifier: 'kept', ttl: 250 });
    const work = load(broker, token, 6);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    path.world.ledger.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const from = work.answers.length;
    await path.world.ledger.start();
    const began = performance.now();
    await until('granted again', 20, () => work.answers.slice(from).includes('200 ok'));
    const after = (performance.now() - began) / 1000;
    await work.stop();
    console.log('restarted', `granted again after ${after.toFixed(1)} s`, tally(work.answers));
    expect(work.answers.filter((answer) => !HONEST.test(answer))).toEqual([]);
    await expectKnown(path, work.grants);
    expect(await canLogin(kept.uri)).toBe(true);
    await finish([...work.grants, kept]);
    await allAccounted(path, 60);
  }, 120_000);

  test('with a standby promoted: the broker follows, and reads nothing before', async () => {
    const work = load(broker, token, 6);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    path.world.ledger.kill('SIGKILL');
    await until('it is noticed', 5, () => work.answers.at(-1)?.startsWith('503') === true);
    const ready = await get(broker.url, '/readyz');
    expect([ready.status, (ready.body['ledger'] as { ok: boolean }).ok]).toEqual([503, false]);
    // The standby is up and is asked for nothing.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const from = work.answers.length;
    expect(work.answers.slice(-3)).not.toContain('200 ok');
    const began = performance.now();
    await standby.promote();
    await until('granted again', 20, () => work.answers.slice(from).includes('200 ok'));
    const after = (performance.now() - began) / 1000;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await work.stop();
    console.log('promoted', `granted again after ${after.toFixed(1)} s`, tally(work.answers));
    expect(work.answers.filter((answer) => !HONEST.test(answer))).toEqual([]);
    const looking = oracle(
      standby.url(),
      path.world.admin.targetUrl.reveal(),
      path.world.installation,
    );
    const promoted = { ...path, oracle: looking };
    await expectKnown(promoted, work.grants);
    await finish(work.grants);
    await allAccounted(promoted, 60);

    // The old primary comes back, takes writes, and nobody fenced it; the new one goes.
    await path.world.ledger.start();
    await asked(
      path.world.admin.ledgerUrl.reveal(),
      'alter system reset synchronous_standby_names',
      'select pg_reload_conf()',
    );
    standby.postgres.kill('SIGKILL');
    await standby.postgres.exited;
    const refused = await exchange(broker.url, token, { identifier: 'split' });
    expect([refused.status, refused.body['error_reason']]).toEqual([503, 'ledger_unreachable']);
    expect((await get(broker.url, '/readyz')).status).toBe(503);
    await looking.close();
  }, 120_000);

  /** Every credential that was handed out is in the ledger. */
  async function expectKnown(of: PathWorld, grants: readonly Granted[]): Promise<void> {
    const rows = await of.oracle.ledger('select id from mayfly.lease where id = any($1)', [
      grants.map(({ leaseId }) => leaseId),
    ]);
    expect(rows).toHaveLength(grants.length);
    expect(grants.length).toBeGreaterThan(10);
  }

  async function finish(grants: readonly Granted[]): Promise<void> {
    for (const { taskId } of grants) await complete(broker.url, token, taskId);
  }
});

proven('no connection left in the pool', () => {
  let path: PathWorld;
  let wire: PostgresWire;
  let broker: BrokerProcess;

  beforeAll(async () => {
    path = await startPathWorld();
    wire = await startPostgresWire(() => path.world.ledger.port);
    const file = path.world.settings['MAYFLY_LEDGER_URL_FILE'] ?? '';
    const url = new URL(await readFile(file, 'utf8'));
    url.port = String(wire.port);
    const byWire = join(path.world.folder, 'ledger-by-wire');
    await writeFile(byWire, url.href, { mode: 0o600 });
    broker = await path.broker({
      settings: { MAYFLY_LEDGER_URL_FILE: byWire, MAYFLY_LEDGER_POOL: '2' },
    });
  }, 90_000);

  afterAll(async () => {
    await path?.stop();
    await wire?.close();
  }, 60_000);

  test('callers wait for a bounded time, are told, and nothing is half granted', async () => {
    const token = await path.token();
    let release: () => void = () => undefined;
    const gate = new Promise<Passage>((resolve) => {
      release = () => resolve('pass');
    });
    // Every mint finds its record held, until no connection is left for anybody.
    wire.decide = (sql) => (sql.includes('lease.mint_ended') ? gate : 'pass');
    const began = performance.now();
    const asking = Array.from({ length: 12 }, (_, n) =>
      exchange(broker.url, token, { identifier: `many-${n}`, ttl: 120 }),
    );
    const first = await Promise.any(asking.slice(0, 12));
    expect(wordOf(first)).toBe('503 ledger_unreachable');
    expect(first.headers.get('retry-after')).toBe('2');
    expect((performance.now() - began) / 1000).toBeLessThan(5);
    release();
    wire.decide = () => 'pass';
    const answers = await Promise.all(asking);
    console.log('pool', tally(answers.map(wordOf)));
    expect(answers.map(wordOf).filter((answer) => !HONEST.test(answer))).toEqual([]);
    for (const { status, body } of answers) {
      if (status === 200) await complete(broker.url, token, String(body['task_id']));
      else expect(body['access_token']).toBeUndefined();
    }
    await allAccounted(path, 60);
  }, 120_000);
});
