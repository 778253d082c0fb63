import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { runMayfly } from '../support/run-mayfly.ts';
import { allAccounted, decisions } from './support/accounts.ts';
import {
  canLogin,
  complete,
  EXCHANGE,
  exchange,
  get,
  granted,
  grantOf,
  post,
  until,
} from './support/agent.ts';
import type { Answer } from './support/agent.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { distribution, pump } from './support/pump.ts';
import { PROVE } from './support/scale.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import type { TcpProxy } from './support/tcp-proxy.ts';

const AGENT = 'invoice-reconciler';
const OTHER = 'report-writer';

let path: PathWorld;
let brokers: readonly [BrokerProcess, BrokerProcess, BrokerProcess];
let wire: TcpProxy;
let operator: string;

beforeAll(async () => {
  path = await startPathWorld({
    'limits.yaml': (text) =>
      `${text.replace(/requests_per_minute: \d+/, 'requests_per_minute: 1000000')}\nself_check_seconds: 2\n`,
  });
  wire = await startTcpProxy('127.0.0.1', path.world.backend.port);
  brokers = await Promise.all([
    path.broker(),
    path.broker(),
    path.broker({ settings: { MAYFLY_BACKEND_URL: `http://127.0.0.1:${wire.port}` } }),
  ]);
  operator = await path.operator();
}, 60_000);

afterAll(async () => {
  await wire?.close();
  await path?.stop();
}, 60_000);

// One test that fails must not stop the agent for all others.
afterEach(async () => {
  await release(brokers[0]);
});

const quarantine = (broker: BrokerProcess, agent = AGENT) =>
  post(broker.url, `/v1/agents/${agent}/quarantine`, operator, { reason: 'a drill' });
const release = (broker: BrokerProcess, agent = AGENT) =>
  post(broker.url, `/v1/agents/${agent}/release`, operator, { reason: 'the drill is over' });

/** Milliseconds between two exchanges: 50 a second over all three brokers. */
const EVERY_MS = 20;
const ROUNDS = PROVE ? 200 : 5;

test('quarantine under 50 exchanges a second on three brokers: nothing is granted after (F-QUA-2)', async () => {
  const answeredAfterMs: number[] = [];
  const lastDeadAfterMs: number[] = [];
  const total = { exchanges: 0, granted: 0, refused: 0, answersAfter: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    if (round % 20 === 0) operator = await path.operator();
    const token = await path.token();
    const load = pump(EVERY_MS, (n) =>
      exchange(brokers[n % 3]!.url, token, { identifier: `race-${round}-${n}`, ttl: 120 }),
    );
    await new Promise((resolve) => setTimeout(resolve, 60 + ((round * 37) % 100)));
    const asked = performance.now();
    const stopped = await quarantine(brokers[round % 3]!);
    const answered = performance.now();
    // Ledger and test read the clock of one machine.
    const answeredAt = new Date();
    // Answered with 200: every lease was dead by then.
    expect(stopped).toMatchObject({ status: 200, body: { changed: true, leases: { dying: 0 } } });
    answeredAfterMs.push(answered - asked);
    const uris = load.done().flatMap(({ answer }) => uriOf(answer));
    expect(await Promise.all(uris.map(canLogin))).toEqual(uris.map(() => false));
    await new Promise((resolve) => setTimeout(resolve, 60));
    const outcomes = await load.stop();
    for (const { sentAt, answer } of outcomes) {
      expect([200, 400, 429]).toContain(answer.status);
      if (answer.status === 400) {
        expect(answer.body['error_reason']).toBe('agent_quarantined');
      }
      // So many rounds may come to the bound of refusals.
      if (answer.status === 429) expect(answer.body['error_reason']).toBe('limit_denials');
      if (sentAt > answered) expect(answer.status).not.toBe(200);
    }
    const late = outcomes.filter(
      ({ answer, answeredAt }) => answer.status === 200 && answeredAt > answered,
    );
    for (const { answer } of late) expect(await canLogin(grantOf(answer).uri)).toBe(false);
    total.exchanges += outcomes.length;
    total.granted += outcomes.filter(({ answer }) => answer.status === 200).length;
    total.refused += outcomes.filter(({ answer }) => answer.status === 400).length;
    total.answersAfter += late.length;
    const [facts] = await path.oracle.ledger(
      `select count(*) filter (where l.created_at > a.quarantined_at)::int as opened,
         count(*) filter (where l.activated_at > $3)::int as activated,
         count(*) filter (where l.state in ('minting', 'active', 'revoking'))::int as live,
         extract(epoch from max(l.revoked_at - a.quarantined_at)) * 1000 as dead_after
       from mayfly.lease l join mayfly.task t on t.id = l.task_id
         join mayfly.agent a on a.id = l.agent_id
       where l.agent_id = $1 and t.identifier like $2`,
      [AGENT, `race-${round}-%`, answeredAt],
    );
    expect(facts).toMatchObject({ opened: 0, activated: 0, live: 0 });
    if (facts?.['dead_after'] !== null) lastDeadAfterMs.push(Number(facts?.['dead_after']));
    expect((await release(brokers[(round + 1) % 3]!)).body).toMatchObject({ changed: true });
  }
  expect(total.granted).toBeGreaterThan(0);
  expect(total.refused).toBeGreaterThan(0);
  console.log(
    `quarantine: ${ROUNDS} rounds, ${JSON.stringify(total)}\n` +
      `  from the call to its answer, ms: ${distribution(answeredAfterMs)}\n` +
      `  from the stop to the last recorded death, ms: ${distribution(lastDeadAfterMs)}`,
  );
  // The minute in which the agent came to its bound of refusals passes before the tests that follow.
  if (PROVE) await new Promise((resolve) => setTimeout(resolve, 61_000));
}, 600_000);

function uriOf(answer: Answer): readonly string[] {
  return answer.status === 200 ? [grantOf(answer).uri] : [];
}

test('asked again after the replica that fenced has died, it ends what that one had begun', async () => {
  const token = await path.token();
  const grants = await Promise.all(
    [1, 2, 3].map((n) => granted(brokers[0].url, token, { identifier: `half-${n}`, ttl: 120 })),
  );
  const dying = await path.broker({
    settings: {
      MAYFLY_TEST_FAIL_POINTS: 'revoke.guard_end.before:kill',
      MAYFLY_ALLOW_FAULTS: 'yes-this-is-a-test',
    },
  });
  await expect(quarantine(dying)).rejects.toThrow();
  await dying.exited;
  const again = await quarantine(brokers[1]);
  expect([again.status, again.body['leases']]).toEqual([200, { fenced: 0, dead: 3, dying: 0 }]);
  for (const { uri } of grants) expect(await canLogin(uri)).toBe(false);
}, 30_000);

describe('every way to a credential, in every state of the agent (F-QUA-1)', () => {
  const paths: Readonly<Record<string, (n: string, token: string) => Promise<Answer>>> = {
    'a new task': (n, token) => exchange(brokers[0].url, token, { identifier: `new-${n}` }),
    'a task that is open': (_n, token) => exchange(brokers[1].url, token, { identifier: 'open' }),
    'a task as a URN': async (n, token) => {
      const form = new URLSearchParams({
        ...EXCHANGE,
        subject_token: token,
        scope: 'orders-read',
        resource: `urn:mayfly:task:reconcile-invoice:urn-${n}`,
      });
      const response = await fetch(`${brokers[2].url}/exchange`, { method: 'POST', body: form });
      const body = (await response.json()) as Record<string, unknown>;
      return { status: response.status, headers: response.headers, body };
    },
  };

  test('active: granted; quarantined: refused, with one event each; released: granted', async () => {
    const token = await path.token();
    const first = await granted(brokers[0].url, token, { identifier: 'open' });
    for (const [name, ask] of Object.entries(paths)) {
      expect([name, (await ask('active', token)).status]).toEqual([name, 200]);
    }
    await quarantine(brokers[0]);
    const before = await decisions(path, AGENT);
    for (const [name, ask] of Object.entries(paths)) {
      const refused = await ask('quarantined', token);
      expect([name, refused.status]).toEqual([name, 400]);
      expect(refused.body).toMatchObject({
        error: 'access_denied',
        error_reason: 'agent_quarantined',
      });
      const [event] = await path.oracle.ledger(
        'select kind, agent_id, body::jsonb as body from mayfly.audit_event where id = $1',
        [refused.body['decision_id']],
      );
      expect(event).toMatchObject({
        kind: 'decision.denied',
        agent_id: AGENT,
        body: { reason: 'agent_quarantined' },
      });
    }
    expect(await decisions(path, AGENT)).toBe(before + Object.keys(paths).length);
    // Other agents go on; and what the agent began it may end.
    const other = await path.token(OTHER);
    const theirs = await granted(brokers[1].url, other, {
      identifier: 'unharmed',
      taskType: 'write-report',
    });
    expect(await canLogin(theirs.uri)).toBe(true);
    await complete(brokers[1].url, other, theirs.taskId);
    expect((await complete(brokers[1].url, token, first.taskId)).status).toBe(200);
    await release(brokers[2]);
    expect((await paths['a new task']!('released', token)).status).toBe(200);
    expect((await paths['a task as a URN']!('released', token)).status).toBe(200);
    expect(await canLogin(first.uri)).toBe(false);
  });

  test('a mint under way finds its lease fenced, and its answer refuses', async () => {
    const token = await path.token();
    let minted: () => void = () => undefined;
    let pass: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (minted = resolve));
    const gate = new Promise<void>((resolve) => (pass = resolve));
    wire.onAnswer = async (text) => {
      if (!text.includes('"username"')) return;
      minted();
      await gate;
    };
    const flying = exchange(brokers[2].url, token, { identifier: 'flying' });
    await answered;
    const stopped = await quarantine(brokers[0]);
    pass();
    wire.onAnswer = () => undefined;
    expect(stopped.status).toBe(200);
    const refused = await flying;
    expect(refused.status).toBe(400);
    expect(refused.body['error_reason']).toBe('agent_quarantined');
    await release(brokers[0]);
  });
});

test('what a replica did not live to fence, the sweep fences', async () => {
  const grant = await granted(brokers[0].url, await path.token(), { identifier: 'half' });
  // As a replica leaves it that dies between its two steps.
  await path.oracle.ledger(
    `update mayfly.agent set quarantined_at = mayfly.ledger_now(), quarantined_by = 'olivia',
       quarantine_reason = 'died half way' where id = $1`,
    [AGENT],
  );
  await until('the lease is dead', 5, async () => !(await canLogin(grant.uri)));
  const [lease] = await path.oracle.ledger(
    'select end_cause, end_reason from mayfly.lease where id = $1',
    [grant.leaseId],
  );
  expect(lease).toEqual({ end_cause: 'quarantine', end_reason: 'died half way' });
  const again = await quarantine(brokers[1]);
  expect(again.body).toMatchObject({
    changed: false,
    quarantine: { by: 'olivia', reason: 'died half way' },
  });
  await release(brokers[1]);
});

describe('a revocation by selector', () => {
  const revoke = (selector: object, more: object = {}) =>
    post(brokers[1].url, '/v1/revocations', operator, { selector, reason: 'a drill', ...more });

  test('under exchanges on three brokers: what was in flight is dead, what comes later lives', async () => {
    const token = await path.token();
    for (let round = 0; round < (PROVE ? 100 : 3); round++) {
      const load = pump(EVERY_MS, (n) =>
        exchange(brokers[n % 3]!.url, token, { identifier: `many-${round}-${n}`, ttl: 120 }),
      );
      await new Promise((resolve) => setTimeout(resolve, 80 + ((round * 37) % 100)));
      const done = await revoke({ scope: 'orders-read', task_type: 'reconcile-invoice' });
      expect(done).toMatchObject({ status: 200, body: { leases: { dying: 0, under_way: 0 } } });
      await new Promise((resolve) => setTimeout(resolve, 100));
      const outcomes = await load.stop();
      for (const { answer } of outcomes) {
        if (answer.status === 200) continue;
        expect(['revocation_under_way', 'lease_ended']).toContain(answer.body['error_reason']);
      }
      const [facts] = await path.oracle.ledger(
        `select count(*) filter (where l.created_at < e.at)::int as older,
           count(*) filter (where l.created_at < e.at
             and l.state not in ('revoked', 'settled', 'abandoned'))::int as older_living
         from mayfly.audit_event e, mayfly.lease l
         where e.kind = 'revocation.begun' and l.scope = 'orders-read'
           and e.id = (select id from mayfly.audit_event where kind = 'revocation.begun'
             order by at desc limit 1)`,
      );
      expect(facts?.['older_living']).toBe(0);
      expect(Number(facts?.['older'])).toBeGreaterThan(0);
      const last = await granted(brokers[0].url, token, { identifier: `later-${round}` });
      expect(await canLogin(last.uri)).toBe(true);
    }
    expect((await revoke({ agent: AGENT })).status).toBe(200);
    expect(await path.oracle.ledger('select from mayfly.stop')).toEqual([]);
  }, 300_000);

  test('by each member; nothing by none, and by a person not yet', async () => {
    const token = await path.token();
    const details = { workflow: 'month-end' };
    const grant = await granted(brokers[0].url, token, { identifier: 'members', details });
    const shown = await get(brokers[0].url, `/v1/leases/${grant.leaseId}`, operator);
    const { instance, issuer } = shown.body as { instance: string; issuer: string };
    const all = {
      agent: AGENT,
      instance,
      issuer,
      scope: 'orders-read',
      task_type: 'reconcile-invoice',
      workflow: 'month-end',
    };
    for (const [member, value] of Object.entries(all)) {
      const counted = await revoke({ [member]: value }, { dry_run: true });
      expect([member, counted.status, counted.body['leases']]).toMatchObject([
        member,
        200,
        { matching: 1, fenced: 0 },
      ]);
      const other = await revoke({ ...all, [member]: 'other' });
      expect(other).toMatchObject(
        member === 'agent'
          ? { status: 404, body: { field: 'selector.agent' } }
          : { status: 200, body: { leases: { matching: 0, fenced: 0 } } },
      );
    }
    expect(await canLogin(grant.uri)).toBe(true);
    const empty = await revoke({});
    expect(empty).toMatchObject({ status: 400, body: { field: 'selector' } });
    const person = await revoke({ person: 'olivia' });
    expect(person).toMatchObject({ status: 400, body: { field: 'selector.person' } });
    expect(String(person.body['detail'])).toMatch(/no lease is on behalf of a person yet/);
    const viewer = await path.operator('mayfly-viewers');
    const forbidden = await post(brokers[0].url, '/v1/revocations', viewer, {
      selector: all,
      reason: 'no',
    });
    expect(forbidden.status).toBe(403);
    expect((await revoke(all)).body).toMatchObject({
      leases: { matching: 1, fenced: 1, dead: 1, dying: 0 },
    });
    expect(await canLogin(grant.uri)).toBe(false);
  });

  test('one whose replica died is finished by the others', async () => {
    const token = await path.token();
    const grant = await granted(brokers[0].url, token, { identifier: 'left' });
    await path.oracle.ledger(
      `insert into mayfly.stop (id, made_at, made_by, reason, agent_id)
       values (gen_random_uuid(), mayfly.ledger_now() - interval '20 seconds', 'olivia', 'left', $1)`,
      [AGENT],
    );
    const refused = await exchange(brokers[1].url, token, { identifier: 'refused' });
    if (refused.status !== 200) expect(refused.headers.get('retry-after')).toBe('1');
    await until('the lease is dead', 5, async () => !(await canLogin(grant.uri)));
    await until('the stop is gone', 5, async () => {
      return (await path.oracle.ledger('select from mayfly.stop')).length === 0;
    });
    await granted(brokers[2].url, token, { identifier: 'again' });
    await revoke({ agent: AGENT });
  });
});

test('who may, of which agents, and what they see', async () => {
  expect((await release(brokers[0], 'mayfly:canary')).status).toBe(404);
  const viewer = await path.operator('mayfly-viewers');
  const url = brokers[0].url;
  const body = { reason: 'no' };
  const forbidden = await post(url, `/v1/agents/${AGENT}/quarantine`, viewer, body);
  expect(forbidden).toMatchObject({ status: 403, body: { reason: 'permission_missing' } });
  expect((await post(url, `/v1/agents/${AGENT}/release`, viewer, body)).status).toBe(403);
  expect((await post(url, '/v1/agents/nobody/quarantine', operator, body)).status).toBe(404);
  expect((await post(url, `/v1/agents/${AGENT}/quarantine`, operator, {})).status).toBe(400);
  await granted(url, await path.token(), { identifier: 'seen' });
  const shown = await get(url, `/v1/agents/${AGENT}`, viewer);
  expect(shown.body).toMatchObject({
    id: AGENT,
    registered: true,
    state: 'active',
    quarantine: null,
    owner: 'finance-platform team',
  });
  expect((shown.body['leases'] as unknown[]).length).toBeGreaterThan(0);
  const list = await get(url, '/v1/agents', viewer);
  expect((list.body['agents'] as { id: string }[]).map(({ id }) => id)).toEqual(
    expect.arrayContaining([AGENT, OTHER]),
  );
});

test('an agent that leaves the catalogue takes its leases along, though others still know it', async () => {
  const theirs = await path.token(OTHER);
  const grant = await granted(brokers[1].url, theirs, {
    identifier: 'removed',
    taskType: 'write-report',
  });
  const mine = await granted(brokers[1].url, await path.token(), { identifier: 'stays' });
  const file = join(path.world.settings['MAYFLY_CONFIG_DIR'] ?? '', 'agents', `${OTHER}.yaml`);
  const text = await readFile(file, 'utf8');
  // Renamed, which removes the old one; removed alone, a policy would name a group of nobody.
  await writeFile(file, text.replace(`id: ${OTHER}`, 'id: report-author'));
  try {
    brokers[0].kill('SIGHUP');
    await until('the lease is dead', 6, async () => !(await canLogin(grant.uri)));
    const [lease] = await path.oracle.ledger(
      'select end_cause, end_reason from mayfly.lease where id = $1',
      [grant.leaseId],
    );
    expect(lease).toEqual({
      end_cause: 'catalogue',
      end_reason: 'its agent has ended, or is not in the catalogue any more',
    });
    expect(await canLogin(mine.uri)).toBe(true);
  } finally {
    await writeFile(file, text);
    brokers[0].kill('SIGHUP');
  }
  // Back to the older files, beside replicas that never left them: nobody undoes anything.
  await complete(brokers[1].url, await path.token(), mine.taskId);
}, 30_000);

test('the self-check says whether the switch works, and notices that it does not (F-QUA-3)', async () => {
  const state = async () => {
    const { body } = await get(brokers[2].url, '/readyz');
    return body['quarantine'] as { ok: boolean; detail: string };
  };
  await until('the switch was checked', 10, async () =>
    (await state()).detail.startsWith('checked'),
  );
  expect(await state()).toMatchObject({ ok: true });
  const [row] = await path.oracle.ledger(
    "select pg_get_functiondef('mayfly.exchange_facts(text, text)'::regprocedure) as text",
  );
  const whole = String(row?.['text']);
  await path.oracle.ledger(whole.replace('a.quarantined_at is not null', 'false'));
  try {
    await until('the broken switch is noticed', 10, async () => !(await state()).ok);
    expect((await state()).detail).toMatch(/a quarantined agent was granted a lease$/);
  } finally {
    await path.oracle.ledger(whole);
  }
  await until('it works again', 10, async () => (await state()).ok);
  const metrics = await Promise.all(brokers.map(({ url }) => get(url, '/metrics')));
  const text = metrics.map(({ body }) => String(body['text'])).join('\n');
  expect(text).toMatch(/mayfly_quarantine_selfcheck_total\{outcome="failed"\} [1-9]/);
  expect(text).toMatch(/mayfly_quarantine_selfcheck_total\{outcome="ok"\} [1-9]/);
  expect(text).toMatch(/mayfly_quarantine_selfcheck_last_success_timestamp_seconds 1\d{9}/);
}, 60_000);

test('on the command line, from a leaked value to the end of its agent', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-quarantine-'));
  try {
    const file = join(folder, 'operator.token');
    await writeFile(file, operator, { mode: 0o600 });
    const at = ['--url', brokers[0].url, '--token-file', file];
    const leaked = join(folder, 'leaked.txt');
    const grant = await granted(brokers[0].url, await path.token(), { identifier: 'leaked' });
    await writeFile(leaked, `${grant.uri}\n`, { mode: 0o600 });
    const hash = (await runMayfly(['hash', '--credential', leaked])).out.trim();
    const some = ['--agent', AGENT, '--reason', 'a drill', ...at];
    const [found, counted] = await Promise.all([
      runMayfly(['leases', '--credential-sha256', hash, ...at]),
      runMayfly(['revoke', '--dry-run', ...some]),
    ]);
    expect(found.out).toContain(grant.leaseId);
    expect(found.out).toContain(grant.taskId);
    expect(counted.out).toMatch(/^[1-9]\d* lease\(s\) would be ended\.\n$/);
    const revoked = await runMayfly(['revoke', ...some]);
    expect(revoked).toMatchObject({ code: 0, err: '' });
    expect(revoked.out).toMatch(/^Leases: ([1-9]\d*) fenced, \1 dead, 0 not dead yet\.\n$/);
    const stopped = await runMayfly(['quarantine', AGENT, '--reason', 'a drill', ...at]);
    expect(stopped).toMatchObject({ code: 0, err: '' });
    expect(stopped.out).toMatch(/is quarantined\.\nLeases: \d+ fenced, \d+ dead, 0 not dead yet\./);
    const [agents, released] = await Promise.all([
      runMayfly(['agents', ...at]),
      runMayfly(['release', AGENT, '--reason', 'over', '--json', ...at]),
    ]);
    expect(agents.out).toContain(OTHER);
    expect(JSON.parse(released.out)).toMatchObject({ id: AGENT, state: 'active', changed: true });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('every lease is accounted for', () => allAccounted(path, 20), 30_000);
