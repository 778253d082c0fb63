import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { canLogin, complete, exchange, get, granted, login, until } from './support/agent.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';
import { PROVE } from './support/scale.ts';

let path: PathWorld;
let broker: BrokerProcess;
let token: string;
let operator: string;

beforeAll(async () => {
  path = await startPathWorld();
  broker = await path.broker();
  token = await path.token();
  operator = await path.operator();
}, 60_000);

afterAll(async () => {
  for (const server of [path?.world.backend, path?.world.ledger, path?.world.target]) {
    server?.kill('SIGCONT');
  }
  await path?.stop();
}, 60_000);

type Listed = { readonly state: string; readonly late_reason?: string | null };

async function leaseOf(id: string): Promise<Listed> {
  const answer = await get(broker.url, `/v1/leases/${id}`, operator);
  return (answer.body['lease'] ?? answer.body) as unknown as Listed;
}

/** The deadline that a credential's name carries, in Unix milliseconds. */
function deadlineOf(username: string): number {
  return parseInt(username.slice(-8), 16) * 1000;
}

describe('OpenBao stopped', () => {
  test('over a deadline and a completion: both die on time, and settle when it is back', async () => {
    const vanishing = await granted(broker.url, token, { identifier: 'bao-1', ttl: 4 });
    const finishing = await granted(broker.url, token, { identifier: 'bao-2', ttl: 60 });
    const session = await login(vanishing.uri);
    const cut = new Promise<number>((resolve) => session.on('end', () => resolve(Date.now())));
    path.world.backend.kill('SIGSTOP');
    try {
      const done = await complete(broker.url, token, finishing.taskId);
      expect(done.status).toBe(200);
      expect(await canLogin(finishing.uri)).toBe(false);
      expect((await cut) - deadlineOf(vanishing.username)).toBeLessThan(3000);
      const refused = await exchange(broker.url, token, { identifier: 'bao-3' });
      expect([503, 500]).toContain(refused.status);
      expect((await leaseOf(finishing.leaseId)).state).toBe('revoked');
    } finally {
      path.world.backend.kill('SIGCONT');
    }
    for (const grant of [vanishing, finishing]) {
      await until(
        'settled after the outage',
        30,
        async () => (await leaseOf(grant.leaseId)).state === 'settled',
      );
    }
    await until('exchanges work again', 20, async () => {
      return (await exchange(broker.url, token, { identifier: 'bao-4', ttl: 5 })).status === 200;
    });
  }, 90_000);

  test('and started anew', async () => {
    const grant = await granted(broker.url, token, { identifier: 'bao-5', ttl: 60 });
    path.world.backend.kill('SIGKILL');
    await path.world.backend.start();
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
    await until('settled', 30, async () => (await leaseOf(grant.leaseId)).state === 'settled');
    await until('exchanges work again', 20, async () => {
      return (await exchange(broker.url, token, { identifier: 'bao-6', ttl: 5 })).status === 200;
    });
  }, 90_000);
});

describe('the ledger stopped', () => {
  test('deadlines still kill, nothing is granted, and the record catches up', async () => {
    const grant = await granted(broker.url, token, { identifier: 'ledger-1', ttl: 5 });
    const session = await login(grant.uri);
    const cut = new Promise<number>((resolve) => session.on('end', () => resolve(Date.now())));
    path.world.ledger.kill('SIGKILL');
    const refused = await exchange(broker.url, token, { identifier: 'ledger-2' });
    expect([refused.status, refused.body['error_reason']]).toEqual([503, 'ledger_unreachable']);
    const done = await complete(broker.url, token, grant.taskId);
    expect(done.status).toBe(503);
    expect((await cut) - deadlineOf(grant.username)).toBeLessThan(5000);
    expect(await canLogin(grant.uri)).toBe(false);
    await path.world.ledger.start();
    await until('the record catches up', 20, async () =>
      ['revoked', 'settled'].includes((await leaseOf(grant.leaseId)).state),
    );
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
  }, 60_000);
});

describe('the target down at completion', () => {
  test('the lease waits, shows why, and dies when the target is back', async () => {
    const seconds = PROVE ? 60 : 6;
    const grant = await granted(broker.url, token, { identifier: 'target-1', ttl: 300 });
    await path.world.target.stop();
    const done = await complete(broker.url, token, grant.taskId, 1);
    expect(done.status).toBe(202);
    const minting = await exchange(broker.url, token, { identifier: 'target-2' });
    expect([500, 503]).toContain(minting.status);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const waiting = await leaseOf(grant.leaseId);
    expect(waiting.state).toBe('revoking');
    expect(waiting.late_reason).toMatch(/target|connect|reach/i);
    await path.world.target.start();
    await until('dead', 20, async () =>
      ['revoked', 'settled'].includes((await leaseOf(grant.leaseId)).state),
    );
    expect(await canLogin(grant.uri)).toBe(false);
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
  }, 150_000);

  test('one poisoned role among 100 due ones keeps nobody waiting', async () => {
    const count = PROVE ? 100 : 30;
    const poisoned = await granted(broker.url, token, { identifier: 'poison', ttl: 600 });
    // A superuser holds the row of the role: neither strip nor shut nor end can get at it.
    const holder = await login(path.world.admin.targetUrl.reveal());
    await holder.query('begin');
    await holder.query('select from pg_authid where rolname = $1 for update', [poisoned.username]);
    await complete(broker.url, token, poisoned.taskId, 1);
    const grants = await Promise.all(
      Array.from({ length: count }, (_, n) =>
        granted(broker.url, token, { identifier: `due-${n}`, ttl: 8 }),
      ),
    );
    const last = Math.max(...grants.map(({ username }) => deadlineOf(username)));
    await until('all others dead', 30, async () => {
      const roles = await path.oracle.roles();
      return grants.every(({ username }) => !roles.includes(username));
    });
    expect(Date.now() - last).toBeLessThan(3500);
    const waiting = await leaseOf(poisoned.leaseId);
    if (waiting.state === 'revoking') expect(waiting.late_reason).toBeTruthy();
    await holder.query('rollback');
    await holder.end();
    await until('the poisoned one dead', 20, async () =>
      ['revoked', 'settled'].includes((await leaseOf(poisoned.leaseId)).state),
    );
  }, 120_000);
});

test('a broker killed while minting and while ending leaves nothing for long', async () => {
  const victim = await path.broker();
  const grants = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      granted(victim.url, token, { identifier: `killed-${n}`, ttl: 120 }),
    ),
  );
  const cut = grants.map((grant) => complete(victim.url, token, grant.taskId).catch(() => null));
  const more = Array.from({ length: 8 }, (_, n) =>
    exchange(victim.url, token, { identifier: `dying-${n}`, ttl: 60 }).catch(() => null),
  );
  await new Promise((resolve) => setTimeout(resolve, 5));
  victim.kill('SIGKILL');
  await Promise.all([...cut, ...more]);
  const answered = (await Promise.all(more)).filter((answer) => answer?.status === 200);
  await until('only what was answered lives', 60, async () => {
    const rows = await path.oracle.ledger(
      `select count(*)::int as n from mayfly.lease l join mayfly.task t on t.id = l.task_id
       where (t.identifier like 'killed-%' and t.ended_at is not null and l.state in ('minting','active','revoking'))
          or (t.identifier like 'dying-%' and l.state in ('minting','revoking'))`,
    );
    return rows[0]?.['n'] === 0;
  });
  expect(answered.length).toBeLessThanOrEqual(8);
}, 120_000);
