import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { allAccounted, leasesOf } from './support/accounts.ts';
import { canLogin, complete, exchange, granted, login, post, until } from './support/agent.ts';
import type { Answer } from './support/agent.ts';
import { PROVE } from './support/scale.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPostgresWire } from './support/postgres-wire.ts';
import type { Matches, Passage, PostgresWire } from './support/postgres-wire.ts';

let path: PathWorld;
let broker: BrokerProcess;
let wire: PostgresWire;

beforeAll(async () => {
  path = await startPathWorld();
  wire = await startPostgresWire(() => path.world.ledger.port);
  const url = new URL(await readFile(path.world.settings['MAYFLY_LEDGER_URL_FILE'] ?? '', 'utf8'));
  url.port = String(wire.port);
  const file = join(path.world.folder, 'ledger-by-wire');
  await writeFile(file, url.href, { mode: 0o600 });
  broker = await path.broker({ settings: { MAYFLY_LEDGER_URL_FILE: file } });
}, 90_000);

afterEach(() => wire.up());

afterAll(async () => {
  await path?.stop();
  await wire?.close();
}, 60_000);

const opensLease = (before: readonly string[]) =>
  before.some((sql) => sql.includes('insert into mayfly.lease'));

/** Every statement of an exchange, in order. */
const EXCHANGE: Readonly<Record<string, Matches>> = {
  begin: (sql) => sql === 'begin',
  'the look under the lock': (_sql, before) => before.at(-1) === 'begin',
  'the lease': (sql) => sql.includes('insert into mayfly.lease'),
  commit: (sql, before) => sql === 'commit' && opensLease(before),
  'the record of the mint': (sql) => sql.includes('lease.mint_ended'),
};

function isLedgerUnreachable({ status, body, headers }: Answer): void {
  expect([status, body['error'] ?? body['reason'], headers.get('retry-after')]).toEqual([
    503,
    body['error'] === undefined ? 'ledger_unreachable' : 'temporarily_unavailable',
    '2',
  ]);
  expect(JSON.stringify(body)).not.toMatch(/postgresql:|password|access_token/);
}

/** Roles of the leases that the ledger promised to this task; unpromised ones are found by all. */
async function living(identifier: string): Promise<number> {
  const names = (await leasesOf(path, identifier)).map((lease) => lease.credential_name);
  const roles = await path.oracle.roles();
  return roles.filter((role) => names.includes(role)).length;
}

describe('the ledger lost at', () => {
  const faults: readonly [string, Exclude<Passage, 'pass'>][] = Object.keys(EXCHANGE).flatMap(
    (statement) => [
      [statement, 'lost'],
      [statement, 'unanswered'],
    ],
  );

  test.each(faults)('%s of an exchange (%s): nothing is handed out', async (statement, fate) => {
    const identifier = `${statement}-${fate}`.replaceAll(' ', '-');
    const token = await path.token();
    const matches = EXCHANGE[statement];
    if (!matches) throw new Error(statement);
    const happened = wire.once(fate, matches);
    const answer = await exchange(broker.url, token, { identifier, ttl: 120 });
    await happened;
    isLedgerUnreachable(answer);
    // A mint whose record was lost is ended at once, by name; it waits for no deadline.
    await until('nothing of it lives', 3, async () => (await living(identifier)) === 0);
    await until('and the same again works', 5, async () => {
      const again = await exchange(broker.url, token, { identifier, ttl: 120 });
      if (again.status !== 200) return false;
      return (await complete(broker.url, token, String(again.body['task_id']))).status === 200;
    });
  });

  test('a commit whose answer is lost, and nobody asks again: found by its mint deadline', async () => {
    const happened = wire.once('unanswered', EXCHANGE['commit'] ?? (() => false));
    const wanted = { identifier: 'promised', ttl: 120 };
    isLedgerUnreachable(await exchange(broker.url, await path.token(), wanted));
    await happened;
    // The last test looks at how it ended.
    expect((await leasesOf(path, 'promised')).map(({ state }) => state)).toEqual(['minting']);
  });

  test('the whole exchange after the mint: the credential dies without the ledger', async () => {
    const token = await path.token();
    let name = '';
    wire.decide = async (sql) => {
      if (!sql.includes('lease.mint_ended')) return 'pass';
      [name = ''] = await path.oracle.roles();
      wire.down();
      return 'lost';
    };
    const answer = await exchange(broker.url, token, { identifier: 'gone', ttl: 300 });
    isLedgerUnreachable(answer);
    expect(name).not.toBe('');
    await until('dead by name', 3, async () => !(await path.oracle.roleExists(name)));
    wire.decide = () => 'pass';
    wire.up();
    // The lease id that OpenBao gave reaches the ledger all the same, so that it can settle.
    await until('settled', 8, async () => (await leasesOf(path, 'gone'))[0]?.state === 'settled');
    const [lease] = await leasesOf(path, 'gone');
    expect([lease?.end_cause, lease?.revocability]).toEqual(['mint_unknown', 'proven']);
    expect(lease?.backend_lease_id).not.toBeNull();
  }, 30_000);

  test('a row that did become active is not shown as alive', async () => {
    const token = await path.token();
    const happened = wire.once('unanswered', (sql) => sql.includes('lease.mint_ended'));
    isLedgerUnreachable(await exchange(broker.url, token, { identifier: 'shown', ttl: 300 }));
    await happened;
    await until('settled', 8, async () => (await leasesOf(path, 'shown'))[0]?.state === 'settled');
    expect((await leasesOf(path, 'shown'))[0]?.mint_outcome).toBe('minted');
  }, 30_000);
});

describe('the ledger lost at a completion', () => {
  const COMPLETION: Readonly<Record<string, string>> = {
    'the end of the task': 'mayfly.end_task',
    'the deaths': 'lease.revoked',
    'the settling': 'lease.settled',
  };

  test.each([
    ['the end of the task', 'lost', 503],
    ['the end of the task', 'unanswered', 503],
    ['the deaths', 'lost', 503],
    ['the deaths', 'unanswered', 503],
    ['the settling', 'lost', 200],
    ['the settling', 'unanswered', 200],
  ] as const)('at %s (%s): %i, and asking again gets it done', async (at, fate, status) => {
    const identifier = `complete-${at}-${fate}`.replaceAll(' ', '-');
    const token = await path.token();
    const grant = await granted(broker.url, token, { identifier, ttl: 120 });
    const happened = wire.once(
      fate,
      (sql, _before, values) =>
        sql.includes(COMPLETION[at] ?? at) &&
        (values.includes(grant.leaseId) || values.includes(grant.taskId)),
    );
    const answer = await complete(broker.url, token, grant.taskId);
    await happened;
    expect(answer.status).toBe(status);
    if (status === 503) isLedgerUnreachable(answer);
    // Dead or not, the answer never claims more than is true.
    if (at !== 'the end of the task') expect(await canLogin(grant.uri)).toBe(false);
    const again = await complete(broker.url, token, grant.taskId);
    expect(again.status).toBe(200);
    expect(await canLogin(grant.uri)).toBe(false);
  });

  test('and nobody asks again: it dies all the same', async () => {
    const token = await path.token();
    const grant = await granted(broker.url, token, { identifier: 'once-only', ttl: 300 });
    const happened = wire.once('unanswered', (sql) => sql.includes('mayfly.end_task'));
    isLedgerUnreachable(await complete(broker.url, token, grant.taskId));
    await happened;
    await until('dead', 5, async () => !(await canLogin(grant.uri)));
  });

  test('a denial that cannot be recorded is an error, and grants nothing', async () => {
    const token = await path.token();
    const happened = wire.once('lost', (_sql, _before, values) =>
      values.includes('decision.denied'),
    );
    isLedgerUnreachable(await exchange(broker.url, token, { identifier: 'd', scope: 'payments' }));
    await happened;
  });
});

describe('the ledger lost while a lease is fenced', () => {
  const fences = (grant: { leaseId: string }): Matches => {
    return (sql, _before, values) =>
      /update mayfly\.lease/.test(sql) &&
      sql.includes('lease.fenced') &&
      values.includes(grant.leaseId);
  };

  test.each(['lost', 'unanswered'] as const)('by an operator (%s)', async (fate) => {
    const identifier = `operator-${fate}`;
    const grant = await granted(broker.url, await path.token(), { identifier, ttl: 300 });
    const operator = await path.operator();
    const happened = wire.once(fate, fences(grant));
    const where = `/v1/leases/${grant.leaseId}/revoke`;
    isLedgerUnreachable(await post(broker.url, where, operator, { reason: 'a test' }));
    await happened;
    // Nobody asks again: whoever asked once for an end gets it.
    await until('dead', 5, async () => !(await canLogin(grant.uri)));
    await until('settled', 8, async () => {
      return (await leasesOf(path, identifier))[0]?.state === 'settled';
    });
    expect((await leasesOf(path, identifier))[0]?.end_cause).toBe('operator');
  });

  test.each(['lost', 'unanswered'] as const)('by its holder (%s)', async (fate) => {
    const token = await path.token();
    const identifier = `holder-${fate}`;
    const grant = await granted(broker.url, token, { identifier, ttl: 300 });
    const happened = wire.once(fate, fences(grant));
    const answer = await fetch(`${broker.url}/revoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: new URLSearchParams({ token: grant.uri }),
    });
    await happened;
    expect(answer.status).toBe(503);
    await until('dead', 5, async () => !(await canLogin(grant.uri)));
    await until('recorded', 8, async () => {
      return /revoked|settled/.test((await leasesOf(path, identifier))[0]?.state ?? '');
    });
  });

  // Its record waits for the claim to lapse, 20 s, which the last test would wait for.
  const proven = PROVE ? test : test.skip;
  proven(
    'by the sweep, whose claims nobody hears of: its name dies on time',
    async () => {
      const grant = await granted(broker.url, await path.token(), {
        identifier: 'claimed',
        ttl: 3,
      });
      const deadline = parseInt(grant.username.slice(-8), 16) * 1000;
      const session = await login(grant.uri);
      const ended = new Promise<number>((resolve) => {
        session.on('end', () => resolve(Date.now() - deadline));
      });
      wire.decide = (sql) => (sql.includes('fenced_now') ? 'unanswered' : 'pass');
      // The published bound of docs/lifecycle.md.
      expect(await ended).toBeLessThan(5_000);
      wire.decide = () => 'pass';
    },
    20_000,
  );
});

test('a ledger that says nothing: callers are answered, and deadlines kill on time', async () => {
  const token = await path.token();
  const lateBy: Promise<number>[] = [];
  // Over more time than one of the ledger's own time-outs, so that no pass can be lucky.
  for (const ttl of [4, 7, 10, 13]) {
    const grant = await granted(broker.url, token, { identifier: `silent-${ttl}`, ttl });
    const session = await login(grant.uri);
    const deadline = parseInt(grant.username.slice(-8), 16) * 1000;
    lateBy.push(new Promise((resolve) => session.on('end', () => resolve(Date.now() - deadline))));
  }
  let speak: () => void = () => undefined;
  const silence = new Promise<Passage>((resolve) => {
    speak = () => resolve('lost');
  });
  wire.decide = () => silence;
  const started = performance.now();
  isLedgerUnreachable(await exchange(broker.url, token, { identifier: 'unheard', ttl: 60 }));
  expect((performance.now() - started) / 1000).toBeLessThan(10);
  const worst = Math.max(...(await Promise.all(lateBy)));
  wire.decide = () => 'pass';
  speak();
  // The published bound of docs/lifecycle.md.
  expect(worst).toBeLessThan(5000);
  await until('the record catches up', 25, async () => {
    const states = await path.oracle.states();
    return (states['active'] ?? 0) + (states['revoking'] ?? 0) === 0;
  });
}, 90_000);

test('in the end everything is accounted for', async () => {
  await allAccounted(path, 30);
  const [promised] = await leasesOf(path, 'promised');
  expect([promised?.end_cause, promised?.mint_outcome]).toEqual(['mint_lost', null]);
}, 90_000);
