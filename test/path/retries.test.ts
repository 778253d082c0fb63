import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
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
import { isMint, startHttpBetween } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';

let path: PathWorld;
let broker: BrokerProcess;
let bao: HttpBetween;
let token: string;

beforeAll(async () => {
  path = await startPathWorld({
    'agents/report-writer.yaml': (text) => text.replace(/open_leases: \d+/, 'open_leases: 1'),
  });
  bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
  broker = await path.broker({ settings: { MAYFLY_BACKEND_URL: bao.url } });
  token = await path.token();
}, 90_000);

afterEach(() => bao.pass());

afterAll(async () => {
  await path?.stop();
  await bao?.down();
}, 60_000);

const ask = (wanted: Wanted) => exchange(broker.url, token, { ttl: 120, ...wanted });

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

test('in the end everything is accounted for', async () => {
  await allAccounted(path, 10);
}, 30_000);
