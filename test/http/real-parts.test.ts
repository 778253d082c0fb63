import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { EXCHANGE, complete, get, granted, post, until } from '../path/support/agent.ts';
import { startPathWorld } from '../path/support/path-world.ts';
import type { PathWorld } from '../path/support/path-world.ts';

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
  await path?.stop();
}, 60_000);

type Row = { id: string; state: string; end_cause: string | null };
const rowsOf = (body: Readonly<Record<string, unknown>>) => body['leases'] as Row[];

/** Sends an exchange and goes away after `ms`, without reading anything. */
async function sendAndLeave(identifier: string, ms: number): Promise<void> {
  const { hostname, port } = new URL(broker.url);
  const body = new URLSearchParams({
    ...EXCHANGE,
    subject_token: token,
    scope: 'orders-read',
    authorization_details: JSON.stringify([
      { type: 'agent_task', task_type: 'reconcile-invoice', identifier },
    ]),
  }).toString();
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write(
    `POST /exchange HTTP/1.1\r\nHost: ${hostname}\r\n` +
      `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await systemClock.sleep(ms);
  socket.destroy();
}

describe('a caller that leaves before its answer', () => {
  test('whenever it leaves, no credential lives on that nobody got', async () => {
    const delays = [2, 4, 6, 8, 10, 12, 15, 20];
    await Promise.all(delays.map((ms) => sendAndLeave(`left-after-${ms}`, ms)));
    // Nobody can tell when the last of these requests was read: the answers take some 10 ms each.
    await systemClock.sleep(1000);
    const open = async () => {
      const page = await get(broker.url, '/v1/leases?agent=invoice-reconciler', operator);
      return rowsOf(page.body);
    };
    await until('nothing is minting or being ended', 10, async () => {
      return (await open()).every(({ state }) => state === 'active');
    });
    const all = await get(broker.url, '/v1/leases?state=all', operator);
    const lost = rowsOf(all.body).filter((lease) => lease.end_cause === 'answer_lost');
    // Those that had been answered in full before their caller left are alive, by right.
    expect(lost.length).toBeGreaterThan(0);
    expect((await path.oracle.roles()).length).toBe((await open()).length);
  });
});

describe('lists over the real ledger', () => {
  test('page by cursor without repeating or losing any', async () => {
    const { taskId } = await granted(broker.url, token, { identifier: 'paged' });
    for (let more = 0; more < 4; more++) {
      await granted(broker.url, token, { identifier: 'paged' });
    }
    const seen: string[] = [];
    let cursor = '';
    do {
      const query = `/v1/leases?task=${taskId}&limit=2&cursor=${encodeURIComponent(cursor)}`;
      const page = await get(broker.url, query, operator);
      expect(page.status).toBe(200);
      seen.push(...rowsOf(page.body).map(({ id }) => id));
      cursor = (page.body['cursor'] as string | null) ?? '';
    } while (cursor !== '');
    expect(new Set(seen).size).toBe(5);
    expect(seen).toHaveLength(5);
    await complete(broker.url, token, taskId);
    const live = await get(broker.url, `/v1/leases?task=${taskId}`, operator);
    expect(rowsOf(live.body)).toHaveLength(0);
    const dead = await get(broker.url, `/v1/leases?task=${taskId}&state=revoked,settled`, operator);
    expect(rowsOf(dead.body)).toHaveLength(5);
  });

  test('find the lease of a value that leaked by its hash', async () => {
    const { uri, leaseId } = await granted(broker.url, token, { identifier: 'leaked' });
    const sha256 = createHash('sha256').update(uri).digest('hex');
    const found = await get(broker.url, `/v1/leases?credential_sha256=${sha256}`, operator);
    expect(rowsOf(found.body).map(({ id }) => id)).toEqual([leaseId]);
    const ended = await post(broker.url, `/v1/leases/${leaseId}/revoke`, operator, {
      reason: 'found in a log',
    });
    expect(ended.status).toBe(200);
    expect(ended.body).toMatchObject({ end_cause: 'operator', end_reason: 'found in a log' });
    const still = await get(broker.url, `/v1/leases?credential_sha256=${sha256}`, operator);
    expect(rowsOf(still.body)).toHaveLength(1);
  });

  test.each([
    '?cursor=made-up',
    '?cursor=eyJhIjoxfQ',
    "?agent=x'%20or%20'1'='1",
    '?late=true',
    '?unsettled=true&residue=true',
    '?expires_before=1970-01-01T00:00:00Z',
  ])('answer %s without fault', async (query) => {
    const answer = await get(broker.url, `/v1/leases${query}`, operator);
    expect([200, 400]).toContain(answer.status);
    if (answer.status === 400) expect(answer.body).toMatchObject({ reason: 'parameter_invalid' });
    else expect(rowsOf(answer.body)).toEqual([]);
  });

  test('tasks: by identifier, open and not', async () => {
    const { taskId } = await granted(broker.url, token, { identifier: 'one-task' });
    const open = await get(broker.url, '/v1/tasks?identifier=one-task&open=true', operator);
    expect(open.body['tasks']).toMatchObject([{ id: taskId, ended_at: null }]);
    await complete(broker.url, token, taskId);
    const again = await get(broker.url, '/v1/tasks?identifier=one-task&open=true', operator);
    expect(again.body['tasks']).toEqual([]);
    const ended = await get(broker.url, '/v1/tasks?identifier=one-task&open=false', operator);
    expect(ended.body['tasks']).toMatchObject([{ id: taskId, end_cause: 'completed' }]);
  });
});

test('readiness, metrics and an evidence trail show what happened', async () => {
  const { leaseId, taskId } = await granted(broker.url, token, { identifier: 'shown' });
  await complete(broker.url, token, taskId);
  const shown = await get(broker.url, `/v1/leases/${leaseId}`, operator);
  expect(shown.body).toMatchObject({ revocability: 'proven', end_cause: 'completed' });
  expect(shown.body['evidence']).not.toBeNull();
  expect((shown.body['events'] as unknown[]).length).toBeGreaterThanOrEqual(3);
  const ready = await get(broker.url, '/readyz');
  expect(ready).toMatchObject({ status: 200, body: { ready: true, ledger: { ok: true } } });
  const metrics = (await get(broker.url, '/metrics')).body['text'] as string;
  expect(metrics).toMatch(/mayfly_exchanges_total\{outcome="granted"\} \d/);
  expect(metrics).toMatch(
    /mayfly_lease_deaths_total\{cause="completed",revocability="proven"\} \d/,
  );
  expect(metrics).toMatch(/mayfly_lease_endings_total\{cause="answer_lost"\} \d/);
});
