import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { allAccounted, leasesOf } from './support/accounts.ts';
import type { Row } from './support/accounts.ts';
import { canLogin, complete, exchange, grantOf, granted, until } from './support/agent.ts';
import type { Answer } from './support/agent.ts';
import { backendAdmin } from './support/backend-admin.ts';
import type { BackendAdmin } from './support/backend-admin.ts';
import { isMint, startHttpBetween } from './support/http-between.ts';
import type { Fate, HttpBetween } from './support/http-between.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPostgresWire } from './support/postgres-wire.ts';
import type { Passage, PostgresWire } from './support/postgres-wire.ts';

let path: PathWorld;
let broker: BrokerProcess;
let admin: BackendAdmin;
/** Between the broker and OpenBao. */
let bao: HttpBetween;
/** Between OpenBao and the target. */
let wire: PostgresWire;

beforeAll(async () => {
  path = await startPathWorld();
  bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
  wire = await startPostgresWire(() => path.world.target.port);
  admin = await backendAdmin(path.world);
  await admin.leadBy(wire.port);
  broker = await path.broker({ settings: { MAYFLY_BACKEND_URL: bao.url } });
}, 90_000);

afterEach(() => {
  path.world.backend.kill('SIGCONT');
  bao.pass();
  wire.decide = () => 'pass';
});

afterAll(async () => {
  path?.world.backend.kill('SIGCONT');
  await path?.stop();
  await bao?.down();
  await wire?.close();
}, 60_000);

async function ask(identifier: string): Promise<Answer & { readonly seconds: number }> {
  const token = await path.token();
  const started = performance.now();
  const answer = await exchange(broker.url, token, { identifier, ttl: 120 });
  return { ...answer, seconds: (performance.now() - started) / 1000 };
}

function expectUnavailable(answer: Answer, reason: string): void {
  expect([answer.status, answer.body['error'], answer.body['error_reason']]).toEqual([
    503,
    'temporarily_unavailable',
    reason,
  ]);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(answer.body['access_token']).toBeUndefined();
}

async function dead(identifier: string, seconds = 5): Promise<Row> {
  let lease: Row | undefined;
  await until(`${identifier} dead`, seconds, async () => {
    lease = (await leasesOf(path, identifier)).at(-1);
    return lease !== undefined && /revoked|settled|abandoned/.test(lease.state);
  });
  expect(await path.oracle.roleExists(String(lease?.credential_name))).toBe(false);
  return lease as Row;
}

describe('OpenBao frozen', () => {
  test('before it made the token: the wait of the caller ends', async () => {
    path.world.backend.kill('SIGSTOP');
    const answer = await ask('frozen-token');
    expectUnavailable(answer, 'backend_unreachable');
    expect(answer.seconds).toBeLessThan(10);
    path.world.backend.kill('SIGCONT');
    expect((await dead('frozen-token')).mint_outcome).toBe('unsent');
  }, 40_000);

  test('in the middle of mints: waits end, no mint is cut, and what they make is dead', async () => {
    let made: () => void = () => undefined;
    let thawed: () => void = () => undefined;
    const answerHeld = new Promise<void>((resolve) => (thawed = resolve));
    const userMade = new Promise<void>((resolve) => (made = resolve));
    const late: Fate[] = [];
    bao.decide = async (call, on) => {
      if (!isMint(call)) return on();
      const answer = on();
      if (bao.calls.filter(isMint).length === mints + 1) {
        // The first made its user; only its answer is late.
        await answer;
        made();
        await answerHeld;
      }
      late.push(await answer);
      return answer;
    };
    const mints = bao.calls.filter(isMint).length;
    const first = ask('late-answer');
    await userMade;
    const second = new Promise<Answer & { seconds: number }>((resolve, reject) => {
      const on = bao.decide;
      bao.decide = (call, forward) => {
        if (isMint(call)) path.world.backend.kill('SIGSTOP');
        return on(call, forward);
      };
      ask('late-mint').then(resolve, reject);
    });
    for (const answer of await Promise.all([first, second])) {
      expectUnavailable(answer, 'mint_unknown');
      expect(answer.seconds).toBeGreaterThan(9);
      expect(answer.seconds).toBeLessThan(12);
    }
    // Ended by name, while OpenBao is still frozen and both mints are still under way.
    await dead('late-answer');
    await dead('late-mint');
    expect(bao.cutByCaller.filter(isMint)).toEqual([]);
    path.world.backend.kill('SIGCONT');
    thawed();
    await until('both mints ended', 10, () => late.length === 2);
    expect(late.map((fate) => (fate === 'cut' ? fate : fate.status)).sort()).toEqual([200, 500]);
    expect(await path.oracle.roles()).toEqual([]);
    // The answer that came too late told the lease id, so that one settles with the next probe.
    await until('settled', 30, async () => {
      return (await leasesOf(path, 'late-answer'))[0]?.state === 'settled';
    });
  }, 60_000);

  test('inside its transaction at the target: its half-made user cannot hold up the end', async () => {
    const token = await path.token();
    const first = await granted(broker.url, token, { identifier: 'half', ttl: 120 });
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const reached = new Promise<void>((resolve) => {
      wire.decide = async (sql, before): Promise<Passage> => {
        if (sql !== 'commit' || !before.some((text) => text.includes('.make('))) return 'pass';
        path.world.backend.kill('SIGSTOP');
        resolve();
        await gate;
        return 'pass';
      };
    });
    const second = ask('half');
    await reached;
    const started = performance.now();
    const done = await complete(broker.url, token, first.taskId, 20);
    expect(done.status).toBe(200);
    // The target itself ends the transaction after 5 s (idle_in_transaction_session_timeout).
    expect((performance.now() - started) / 1000).toBeLessThan(9);
    expect(await canLogin(first.uri)).toBe(false);
    path.world.backend.kill('SIGCONT');
    release();
    const answer = await second;
    expect([400, 503]).toContain(answer.status);
    await dead('half');
    expect(await path.oracle.roles()).toEqual([]);
  }, 60_000);
});

describe('OpenBao made the user, but', () => {
  const made = (change: (body: string) => Fate): HttpBetween['decide'] => {
    return async (call, on) => {
      const reply = await on();
      return isMint(call) && reply.status === 200 ? change(reply.body) : reply;
    };
  };

  test.each([
    ['says 500', () => ({ status: 500, body: '{"errors":["internal error"]}' })],
    ['hangs up', () => 'cut' as const],
    ['says rubbish', (body: string) => ({ status: 200, body: body.slice(0, 40) })],
    ['a proxy says 404', () => ({ status: 404, body: 'not here' })],
    ['says that it is sealed', () => ({ status: 503, body: '{"errors":["Vault is sealed"]}' })],
  ] as const)('%s: the user dies, and its lease is accounted for', async (what, change) => {
    const identifier = `made-${what.replaceAll(' ', '-')}`;
    const known = await admin.leases('orders-read');
    bao.decide = made(change);
    const answer = await ask(identifier);
    expectUnavailable(answer, what.includes('sealed') ? 'backend_sealed' : 'mint_unknown');
    bao.pass();
    const lease = await dead(identifier);
    expect([lease.mint_outcome, lease.end_cause, lease.revocability]).toEqual([
      'unknown',
      'mint_unknown',
      'proven',
    ]);
    await until('its wait is explained', 5, async () => {
      return /lease id/.test((await leasesOf(path, identifier))[0]?.late_reason ?? '');
    });
    // OpenBao holds a lease that nobody told us of; it ends with its batch token.
    const [unknown] = (await admin.leases('orders-read')).filter((id) => !known.includes(id));
    const { body } = await admin.call('PUT', 'sys/leases/lookup', { lease_id: unknown });
    expect(Number(body.data?.['ttl'])).toBeLessThanOrEqual(150);
  });

  test('under another name than ours: no credential leaves, and the user dies', async () => {
    bao.decide = made((body) => ({
      status: 200,
      body: body.replace(/"username":"[^"]*"/, '"username":"v-token-orders"'),
    }));
    const answer = await ask('misnamed');
    expectUnavailable(answer, 'mint_unknown');
    expect(JSON.stringify(answer.body)).not.toContain('v-token-orders');
    await dead('misnamed');
  });

  test('the target did not tell it so: a user without a lease, which dies by name', async () => {
    const happened = wire.once(
      'unanswered',
      (sql, before) => sql === 'commit' && before.some((text) => text.includes('.make(')),
    );
    const answer = await ask('untold');
    await happened;
    expectUnavailable(answer, 'mint_unknown');
    const lease = await dead('untold');
    expect(lease.revocability).toBe('proven');
  }, 40_000);
});

describe('mint finishing after the end', () => {
  /** Completes the task while its second mint is held by `hold`, then lets that go on. */
  async function endWhileHeld(
    identifier: string,
    hold: (held: () => void, gate: Promise<void>) => void,
  ): Promise<void> {
    const token = await path.token();
    const first = await granted(broker.url, token, { identifier, ttl: 120 });
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const held = new Promise<void>((resolve) => hold(resolve, gate));
    const second = ask(identifier);
    await held;
    expect((await complete(broker.url, token, first.taskId)).status).toBe(200);
    release();
    const answer = await second;
    expect(answer.status).not.toBe(200);
    expect(await path.oracle.roles()).toEqual([]);
    expect((await leasesOf(path, identifier)).map(({ state }) => state)).not.toContain('active');
  }

  test('held before OpenBao', async () => {
    await endWhileHeld('after-1', (held, gate) => {
      bao.decide = async (call, on) => {
        if (isMint(call)) {
          held();
          await gate;
        }
        return on();
      };
    });
  });

  test('held before the target', async () => {
    await endWhileHeld('after-2', (held, gate) => {
      wire.decide = async (sql): Promise<Passage> => {
        if (sql.includes('.make(')) {
          held();
          await gate;
        }
        return 'pass';
      };
    });
  });

  test('made, with its answer held', async () => {
    await endWhileHeld('after-3', (held, gate) => {
      bao.decide = async (call, on) => {
        const reply = await on();
        if (isMint(call)) {
          held();
          await gate;
        }
        return reply;
      };
    });
  });
});

test("a user made by somebody else's read of creds/<role> is refused by make", async () => {
  const before = await path.oracle.target('select count(*)::int as n from pg_roles');
  const read = await admin.call('GET', 'mayfly-orders/creds/orders-read');
  expect(read.status).toBe(500);
  expect(read.body.data).toBeUndefined();
  // With a name of ours that is past its deadline, or of another installation, it is the same.
  for (const name of [
    `m${path.world.installation}-00000000000000000000000000-00000001`,
    'mzzzz-00000000000000000000000000-7fffffff',
  ]) {
    const made = await admin.call('POST', 'auth/token/create/mayfly-orders-read', {
      display_name: name,
      ttl: '60s',
    });
    const token = (made.body as { auth?: { client_token: string } }).auth?.client_token ?? '';
    expect(token).not.toBe('');
    const own = await fetch(
      `http://127.0.0.1:${path.world.backend.port}/v1/mayfly-orders/creds/orders-read`,
      { headers: { 'x-vault-token': token } },
    );
    expect(own.status).toBe(500);
  }
  expect(await path.oracle.target('select count(*)::int as n from pg_roles')).toEqual(before);
});

test('in the end everything is accounted for', async () => {
  expect(bao.cutByCaller.filter(isMint)).toEqual([]);
  // A grant shows that everything works again.
  const token = await path.token();
  const last = grantOf(await exchange(broker.url, token, { identifier: 'last', ttl: 60 }));
  expect((await complete(broker.url, token, last.taskId)).status).toBe(200);
  await allAccounted(path, 20);
  // Once the tokens that made them have ended, the unknown backend leases are settled too.
  await path.oracle.ledger(
    `create or replace function mayfly.ledger_now() returns timestamptz language sql volatile
     parallel safe as $$ select clock_timestamp() + interval '200 seconds' $$`,
  );
  await until('all settled', 30, async () => {
    const states = await path.oracle.states();
    return (states['revoked'] ?? 0) === 0;
  });
}, 90_000);
