import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { countClosed } from '../../src/broker/count-closed.ts';
import type { BrokerParts, Targets } from '../../src/broker/parts.ts';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { connectTarget } from '../../src/target/postgres/connect-target.ts';
import { runMayfly } from '../support/run-mayfly.ts';
import { allAccounted, leasesOf } from './support/accounts.ts';
import {
  canLogin,
  complete,
  exchange,
  get,
  grantOf,
  granted,
  post,
  until,
} from './support/agent.ts';
import type { Answer, Wanted } from './support/agent.ts';
import { backendAdmin } from './support/backend-admin.ts';
import { forsake, programOf } from './support/forsaken-lease.ts';
import { isMint, isTokenCreation, startHttpBetween } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import { ownBroker } from './support/own-broker.ts';
import type { OwnBroker } from './support/own-broker.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { PROVE, scaled } from './support/scale.ts';

let path: PathWorld;
let broker: BrokerProcess;
let bao: HttpBetween;
let token: string;
let own: OwnBroker;
let ghost: Awaited<ReturnType<typeof deadTarget>>;

beforeAll(async () => {
  path = await startPathWorld({
    'agents/report-writer.yaml': (text) => text.replace(/open_leases: \d+/, 'open_leases: 1'),
  });
  bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
  // Only `own` sweeps, when a test says so: so nothing else touches what a test makes late.
  const settings = { MAYFLY_BACKEND_URL: bao.url, MAYFLY_SWEEP: 'off' };
  broker = await path.broker({ settings });
  ghost = await deadTarget();
  own = await ownBroker(path, withGhost, { backendUrl: bao.url });
  token = await path.token();
}, 90_000);

afterEach(() => bao.pass());

afterAll(async () => {
  await own?.close();
  await ghost?.close();
  await path?.stop();
  await bao?.down();
}, 60_000);

/** The real access to a target at whose address nobody listens. */
function deadTarget() {
  const login = { username: 'nobody', password: new SecretText('x') };
  return connectTarget(
    {
      host: '127.0.0.1',
      port: 1,
      database: 'ghost',
      tls: 'disable',
      installation: path.world.installation,
      guard: login,
      prover: login,
      maxConnections: 1,
    },
    systemClock,
  );
}

/** Calls of the guard at the target `ghost`, and whether it is still dead. */
const ghostly = { calls: 0, isDead: true };

/** A second target beside the real one: dead at first, and then the real one by another name. */
function withGhost({ targets }: BrokerParts): Partial<BrokerParts> {
  const access: Targets['access'] = (name) => {
    if (name !== 'ghost') return targets.access(name);
    const there = ghostly.isDead ? ghost : targets.access('orders');
    if (there === undefined) return undefined;
    const end: typeof there.guard.end = (names) => {
      ghostly.calls += 1;
      return there.guard.end(names);
    };
    return { ...there, guard: { ...there.guard, end } };
  };
  return { targets: { access, names: () => [...targets.names(), 'ghost'] } };
}

const ask = (wanted: Wanted) => exchange(broker.url, token, { ttl: 120, ...wanted });

const refusedBy = ({ status, body }: Answer) => [status, body['reason']];

async function operatorCaller() {
  const text = new SecretText(await path.operator());
  const caller = await own.parts.authenticator.operator(text);
  if (!caller.ok) throw new Error(caller.failure.detail);
  return caller.value;
}

const refusal = ({ status, body }: Answer) => [status, body['error'], body['error_reason']];

describe('F-MINT-2 a retry with an Idempotency-Key', () => {
  test('ends the credential of the exchange before it and says which it was', async () => {
    const first = await ask({ identifier: 'keyed', key: 'retry-1' });
    expect(first.body).not.toHaveProperty('replaces_lease_id');
    const again = await ask({ identifier: 'keyed', key: 'retry-1' });
    expect(again.body['replaces_lease_id']).toBe(grantOf(first).leaseId);
    await until('the first is dead', 3, async () => !(await canLogin(grantOf(first).uri)));
    expect(await canLogin(grantOf(again).uri)).toBe(true);
    expect((await leasesOf(path, 'keyed')).map(({ end_cause }) => end_cause)).toEqual([
      'superseded',
      null,
    ]);
    expect(refusal(await ask({ identifier: 'keyed', key: 'retry-1', ttl: 119 }))).toEqual([
      400,
      'invalid_request',
      'idempotency_key_reused',
    ]);
    // A refused retry ends nothing.
    expect(await canLogin(grantOf(again).uri)).toBe(true);
    await complete(broker.url, token, grantOf(again).taskId);
  });

  test('does not count what it replaces against the cap of open leases', async () => {
    const capped = await path.token('report-writer');
    const wanted = { identifier: 'capped', taskType: 'write-report', ttl: 60 };
    const first = await granted(broker.url, capped, { ...wanted, key: 'k' });
    expect(refusal(await exchange(broker.url, capped, { ...wanted, key: 'other' }))[2]).toBe(
      'limit_open_leases',
    );
    const again = await granted(broker.url, capped, { ...wanted, key: 'k' });
    await until('the first is dead', 3, async () => !(await canLogin(first.uri)));
    await complete(broker.url, capped, again.taskId);
  });

  test.each(['', 'a b', 'x'.repeat(256), 'ü'])('is refused where it is no key: %j', async (key) => {
    const answer = await ask({ identifier: 'no-key', key });
    expect(refusal(answer)).toEqual([400, 'invalid_request', 'parameter_invalid']);
    expect(answer.body['error_description']).toMatch(/Idempotency-Key/);
  });

  test('20 at once: one is granted, the others are told that it is under way', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    bao.decide = async (call, on) => {
      if (isMint(call)) await held;
      return on();
    };
    const key = 'x'.repeat(255);
    const answers = Array.from({ length: 20 }, async () => {
      const answer = await ask({ identifier: 'at-once', key });
      // The first refusal proves that one is under way.
      release();
      return answer;
    });
    const all = await Promise.all(answers);
    const others = all.filter(({ status }) => status !== 200);
    expect(all.length - others.length).toBeGreaterThanOrEqual(1);
    for (const other of others) {
      expect(refusal(other)).toEqual([409, 'temporarily_unavailable', 'idempotency_key_in_flight']);
      expect(other.headers.get('retry-after')).toBe('1');
    }
    await until('one lives at most', 3, async () => {
      const open = (await leasesOf(path, 'at-once')).filter(({ state }) => state === 'active');
      return open.length === 1;
    });
    const [{ task_id } = { task_id: '' }] = await leasesOf(path, 'at-once');
    await complete(broker.url, token, task_id);
  });
});

const FIVE_TIMES = [503, 503, 503, 503, 503];

/** As HTTP clients retry by themselves: 429 and 5xx, up to four times, with no key. */
async function retrying(wanted: Wanted): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  do {
    answers.push(await ask(wanted));
  } while (answers.length < FIVE_TIMES.length && Number(answers.at(-1)?.status) >= 429);
  return answers;
}

test('F-MINT-2 a client that retries by itself leaves nothing alive, and is seen as such', async () => {
  // Each mint makes its user; its answer is lost, so the exchange fails after its commit.
  bao.decide = async (call, on) => {
    const reply = await on();
    return isMint(call) ? 'cut' : reply;
  };
  const storms = ['storm-1', 'storm-2', 'storm-3'];
  const answers = await Promise.all(storms.map((identifier) => retrying({ identifier })));
  for (const tries of answers) expect(tries.map(({ status }) => status)).toEqual(FIVE_TIMES);
  const rows = (await Promise.all(storms.map((identifier) => leasesOf(path, identifier)))).flat();
  expect(rows).toHaveLength(storms.length * FIVE_TIMES.length);
  await until('nothing of it lives', 5, async () => {
    const roles = await path.oracle.roles();
    return !rows.some(({ credential_name }) => roles.includes(credential_name));
  });
  const listed = await get(broker.url, '/v1/leases?state=all&limit=200', await path.operator());
  const leases = listed.body['leases'] as { id: string; repeat_of: string | null }[];
  const ids = (await leasesOf(path, 'storm-1')).map(({ id }) => id);
  const seen = leases.filter(({ id }) => ids.includes(id)).map(({ repeat_of }) => repeat_of);
  expect(seen.reverse()).toEqual([null, ...ids.slice(0, -1)]);
}, 20_000);

test('complete and both revocations are idempotent: one fence, one death, the same evidence', async () => {
  const mine = await granted(broker.url, token, { identifier: 'twice', ttl: 120 });
  const operator = await path.operator();
  const ends = () => [
    complete(broker.url, token, mine.taskId),
    post(broker.url, `/v1/leases/${mine.leaseId}/revoke`, operator, { reason: 'seen in a log' }),
    fetch(`${broker.url}/revoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: new URLSearchParams({ token: mine.uri }),
    }),
  ];
  const answers = await Promise.all([...ends(), ...ends(), ...ends()]);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  const after = await get(broker.url, `/v1/leases/${mine.leaseId}`, operator);
  const again = await complete(broker.url, token, mine.taskId);
  expect(again.body['leases']).toMatchObject([{ evidence: after.body['evidence'] }]);
  const events = await path.oracle.ledger(
    `select kind, count(*)::int as n from mayfly.audit_event
     where lease_id = $1 and kind in ('lease.fenced', 'lease.revoked') group by kind order by kind`,
    [mine.leaseId],
  );
  expect(events).toEqual([
    { kind: 'lease.fenced', n: 1 },
    { kind: 'lease.revoked', n: 1 },
  ]);
});

describe('F-REV-3 a target that is dead', () => {
  const OVERDUE = 300;

  beforeAll(async () => {
    const { lease } = await own.granted({ identifier: 'ghost', ttl: 120 });
    await own.complete(lease.taskId, 5);
    // Leases of another target, long past their deadline, that nobody could end.
    await path.oracle.ledger(
      `with made as (
       insert into mayfly.lease (id, task_id, agent_id, owner, instance, issuer, subject, scope,
         state, revocability, credential_name, decision_id, created_at, deadline, mint_deadline,
         backend_ends_by, fenced_at, end_cause, next_attempt_at, snapshot)
       select gen_random_uuid(), l.task_id, l.agent_id, l.owner, l.instance, l.issuer, l.subject,
         l.scope, 'revoking', 'proven', made_up.name,
         l.decision_id, l.created_at, l.created_at - interval '1 hour', l.mint_deadline,
         l.created_at, l.created_at - interval '1 hour', 'deadline', now(),
         l.snapshot || '{"target": "ghost"}'
       from mayfly.lease l, generate_series(1, $2::int + 1) n, lateral (
         select overlay(l.credential_name placing lpad(n::text, 3, '0') from 30 for 3)) made_up (name)
       -- One name of the series may be the lease's own.
       where l.id = $1 and made_up.name <> l.credential_name
       limit $2
       returning id)
       insert into mayfly.audit_event (id, at, kind, lease_id, body)
       select gen_random_uuid(), now(), 'decision.permitted', id, '{}' from made`,
      [lease.id, OVERDUE],
    );
  });

  const overdue = (where = 'true') =>
    path.oracle.ledger(
      `select id from mayfly.lease l where snapshot ->> 'target' = 'ghost' and ${where}`,
    );

  test('keeps no other waiting, and is only probed', async () => {
    const { lease } = await own.granted({ identifier: 'healthy', ttl: 3 });
    for (let pass = 0; pass < 3; pass++) {
      await own.broker.sweep();
      await new Promise((resolve) => setTimeout(resolve, 600));
    }
    await until('the other target works as ever', 2, async () => {
      await own.broker.sweep();
      const now = await own.parts.ledger.lease(lease.id);
      return now?.revokedAt !== null;
    });
    const after = await own.parts.ledger.lease(lease.id);
    expect(Number(after?.revokedAt) - Number(after?.deadline)).toBeLessThan(3000);
    // 15 calls would carry all of them once; a probe carries one lease.
    expect(ghostly.calls).toBeGreaterThanOrEqual(2);
    expect(ghostly.calls).toBeLessThanOrEqual(14);
    expect((await overdue('attempts = 0')).length).toBeGreaterThanOrEqual(OVERDUE / 4);
  }, 20_000);

  test('is alarmed with its reason in readiness, list and metrics', async () => {
    await own.broker.counts();
    const { late, paused, ready } = await own.broker.readiness();
    expect(late).toMatchObject({
      notDeadInTime: OVERDUE,
      targets: [{ target: 'ghost', notDeadInTime: OVERDUE, notSettled: 0 }],
    });
    expect(late?.targets[0]?.reason).toMatch(/ECONNREFUSED/);
    expect(paused).toMatchObject([{ target: 'ghost', work: 'end' }]);
    // Exchanges at other targets can be granted.
    expect(ready).toBe(true);
    const { body } = await own.parts.metrics.render();
    expect(body).toContain(
      `mayfly_late_leases{target="ghost",alarm="not_dead_in_time"} ${OVERDUE}`,
    );
    expect(body).toContain('mayfly_work_paused{target="ghost",work="end"} 1');
    expect(body).toMatch(
      /mayfly_late_attempts_total\{target="ghost",work="end",reason="target_unreachable"\} \d/,
    );
    const listed = await own.broker.listLeases(await operatorCaller(), { late: true }, 200, null);
    const reasons = listed.ok ? listed.value.items.map(({ lateReason }) => lateReason) : [];
    expect(reasons).toHaveLength(200);
    expect(reasons.filter((reason) => !/ECONNREFUSED/.test(reason ?? ''))).toEqual([]);
  });

  test('is tried at once when an operator asks, over REST too, and by nobody else', async () => {
    const [{ id } = { id: '' }] = await overdue('attempts = 0');
    const operator = await operatorCaller();
    const before = ghostly.calls;
    const tried = await own.broker.retryLease(operator, String(id), 'is it back?', 1);
    expect(tried).toMatchObject({ ok: true, value: { state: 'revoking' } });
    expect(ghostly.calls).toBeGreaterThan(before);
    const events = await own.parts.ledger.events({ leaseId: String(id) });
    expect(events.map(({ kind }) => kind).slice(-2)).toEqual(['lease.retried', 'lease.late']);

    const live = await granted(broker.url, token, { identifier: 'live', ttl: 120 });
    const retry = (lease: string, bearer: string) =>
      post(broker.url, `/v1/leases/${lease}/retry`, bearer, { reason: 'now' });
    const asOperator = await path.operator();
    expect(refusedBy(await retry(live.leaseId, asOperator))).toEqual([409, 'lease_not_due']);
    expect((await retry(live.leaseId, await path.operator('mayfly-viewers'))).status).toBe(403);
    expect((await retry(live.leaseId, token)).status).toBe(403);
    await complete(broker.url, token, live.taskId);
    await until('settled', 5, async () => (await retry(live.leaseId, asOperator)).status === 200);
    const file = join(path.world.folder, 'retrying-operator');
    await writeFile(file, asOperator, { mode: 0o600 });
    const said = await runMayfly(['retry', live.leaseId, '--reason', 'x'], {
      env: { MAYFLY_URL: broker.url, MAYFLY_TOKEN_FILE: file },
    });
    expect([said.code, said.out]).toEqual([0, `${live.leaseId}  settled\n`]);
  });

  test('is worked off when it is back, and the alarm ends', async () => {
    ghostly.isDead = false;
    await until('all are dead and settled', 10, async () => {
      await own.broker.sweep();
      return (await overdue("state <> 'settled'")).length === 0;
    });
    await own.broker.counts();
    const { late, paused } = await own.broker.readiness();
    expect({ late, paused }).toMatchObject({ late: { notDeadInTime: 0, targets: [] }, paused: [] });
    const { body } = await own.parts.metrics.render();
    expect(body).not.toContain('mayfly_late_leases{');
  }, 20_000);
});

// Three starts of OpenBao: only where there is time.
(PROVE ? test : test.skip)(
  'F-REV-3 a lease that OpenBao gave up as irrevocable is settled all the same',
  async () => {
    const grant = await granted(broker.url, token, { identifier: 'forsaken', ttl: 300 });
    bao.decide = (call, on) => (call.path === '/v1/sys/leases/revoke' ? 'cut' : on());
    await complete(broker.url, token, grant.taskId);
    const [row] = await leasesOf(path, 'forsaken');
    await forsake(path, programOf(path.world.backend.pid()), String(row?.backend_lease_id));
    const admin = await backendAdmin(path.world);
    const givenUp = async () => {
      const { body } = await admin.call('GET', 'sys/leases/count?type=irrevocable');
      return body.data?.['lease_count'];
    };
    expect(await givenUp()).toBe(1);
    // Without sync OpenBao says yes and does nothing.
    const id = { lease_id: row?.backend_lease_id, sync: false };
    expect((await admin.call('POST', 'sys/leases/revoke', id)).status).toBe(202);
    expect(await givenUp()).toBe(1);
    bao.pass();
    await until('settled', 20, async () => {
      await own.broker.sweep();
      return (await leasesOf(path, 'forsaken'))[0]?.state === 'settled';
    });
    expect(await givenUp()).toBe(0);
  },
  90_000,
);

test('F-MINT-3 a broker that starts changes nothing of what lives', async () => {
  const held = await granted(broker.url, token, { identifier: 'held', ttl: 120 });
  const before = await own.parts.ledger.lease(held.leaseId);
  const started = await ownBroker(path, undefined, { backendUrl: bao.url });
  await started.broker.sweep();
  await started.close();
  expect(await own.parts.ledger.lease(held.leaseId)).toEqual(before);
  expect(await canLogin(held.uri)).toBe(true);
  await complete(broker.url, token, held.taskId);
});

test('F-MINT-4 a rate limit of OpenBao: 503 with its hint, nothing granted, nothing left', async () => {
  for (const limited of [isMint, isTokenCreation]) {
    bao.decide = (call, on) =>
      limited(call)
        ? {
            status: 429,
            headers: { 'retry-after': '2' },
            body: '{"errors":["request path: rate limit quota exceeded"]}',
          }
        : on();
    const answer = await ask({ identifier: `limited-${limited.name}` });
    expect(refusal(answer)).toEqual([503, 'temporarily_unavailable', 'backend_unreachable']);
    expect(answer.headers.get('retry-after')).toMatch(/^[12]$/);
    const [row] = await leasesOf(path, `limited-${limited.name}`);
    expect(row?.state).toBe('abandoned');
    expect(await path.oracle.roleExists(String(row?.credential_name))).toBe(false);
  }
  bao.pass();
  await until('mints are tried again', 10, async () => {
    const answer = await ask({ identifier: 'after-the-limit' });
    if (answer.status !== 200) return false;
    await complete(broker.url, token, grantOf(answer).taskId);
    return true;
  });
});

test('F-MINT-5 a life that OpenBao grants shorter than asked is the one that is told', async () => {
  bao.decide = async (call, on) => {
    const reply = await on();
    const cut = reply.body.replace(/"lease_duration":\d+/, '"lease_duration":40');
    return isMint(call) ? { ...reply, body: cut } : reply;
  };
  const answer = await ask({ identifier: 'shorter' });
  expect(answer.body['expires_in']).toBe(40);
  await complete(broker.url, token, grantOf(answer).taskId);
});

test('F-REV-2 already gone at the target is a success at once', async () => {
  const grant = await granted(broker.url, token, { identifier: 'gone', ttl: 120 });
  await path.oracle.target(`drop role "${grant.username}"`);
  expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
  const [row] = await leasesOf(path, 'gone');
  // The target remembers what it made: that it was there is known, and so is that it is gone.
  expect(row).toMatchObject({
    late_reason: null,
    revocability: 'proven',
    evidence: { kind: 'seen_dead', prover: { role_exists: false, sessions: 0 } },
  });
});

test('F-REV-5 and F-REV-8 access lists do not grow, and the target ends it when the ledger does', async () => {
  const lists = async () =>
    (
      await path.oracle.target(
        'select coalesce(sum(length(relacl::text)), 0)::int as n from pg_class',
      )
    )[0]?.['n'];
  const before = await lists();
  const grants = await Promise.all(
    Array.from({ length: scaled(100) }, (_, n) =>
      granted(broker.url, token, { identifier: `acl-${n}`, ttl: 120 }),
    ),
  );
  for (const { username, leaseId, taskId } of grants) {
    const [{ ends } = {}] = await path.oracle.target(
      'select rolvaliduntil as ends from pg_roles where rolname = $1',
      [username],
    );
    expect(ends).toEqual((await own.parts.ledger.lease(leaseId))?.deadline);
    await complete(broker.url, token, taskId);
  }
  expect(await lists()).toBe(before);
}, 60_000);

test('F-REV-17 the gauges are what the ledger holds', async () => {
  const live = await granted(broker.url, token, { identifier: 'counted', ttl: 120 });
  own.parts.metrics.leaseCounts(await own.broker.counts());
  await countClosed(own.parts);
  const states = await path.oracle.states();
  const { body } = await own.parts.metrics.render();
  for (const [state, count] of Object.entries(states)) {
    expect(body).toContain(`mayfly_leases{state="${state}"} ${count}\n`);
  }
  await complete(broker.url, token, live.taskId);
});

test('in the end everything is accounted for', async () => {
  const sweeping = setInterval(() => void own.broker.sweep(), 200);
  await allAccounted(path, 10).finally(() => clearInterval(sweeping));
}, 30_000);
