import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { complete, exchange, granted, until } from './support/agent.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';
import { scaled } from './support/scale.ts';

let path: PathWorld;
let brokers: BrokerProcess[];
let token: string;
let capped: string;

/** The report writer's cap on open leases in this world. */
const CAP = 5;

beforeAll(async () => {
  path = await startPathWorld({
    'agents/report-writer.yaml': (text) =>
      text
        .replace(/open_leases: \d+/, `open_leases: ${CAP}`)
        .replace(/leases_per_minute: \d+/, 'leases_per_minute: 100000'),
  });
  brokers = await Promise.all([path.broker(), path.broker()]);
  token = await path.token();
  capped = await path.token('report-writer');
}, 60_000);

afterAll(async () => {
  await path?.stop();
}, 60_000);

function url(index: number): string {
  return (brokers[index % brokers.length] as BrokerProcess).url;
}

test('50 concurrent exchanges on two brokers at cap 5: exactly 5', async () => {
  // Not scaled: twice as many refusals would come to their own bound at each broker.
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        exchange(url(index), capped, {
          identifier: `cap-${round}-${index}`,
          taskType: 'write-report',
          ttl: 60,
        }),
      ),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(CAP);
    const refusals = answers.filter(({ status }) => status !== 200);
    expect(new Set(refusals.map(({ body }) => body['error_reason']))).toEqual(
      new Set(['limit_open_leases']),
    );
    const grantedTasks = answers
      .filter(({ status }) => status === 200)
      .map(({ body }) => String(body['task_id']));
    await Promise.all(grantedTasks.map((task, index) => complete(url(index), capped, task)));
  }
}, 60_000);

test('200 tasks by 20 clients at once: all settled, with positive control, nothing left', async () => {
  const clients = 20;
  const tasks = scaled(200) * 2;
  const grants: string[] = [];
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let nth = client; nth < tasks; nth += clients) {
        const grant = await granted(url(nth), token, { identifier: `many-${nth}`, ttl: 120 });
        grants.push(grant.leaseId);
        const done = await complete(url(nth + 1), token, grant.taskId);
        expect(done.status).toBe(200);
      }
    }),
  );
  expect(grants).toHaveLength(tasks);
  const settled = async () =>
    (await path.oracle.ledger(
      `select count(*)::int as n,
              count(*) filter (where state = 'settled' and revocability = 'proven'
                and residue is null and target_oid is not null
                and evidence->>'kind' = 'seen_dead')::int as good
       from mayfly.lease where id = any($1::uuid[])`,
      [grants],
    )) as [{ n: number; good: number }];
  await until('all settled', 20, async () => (await settled())[0].good === tasks);
  expect((await settled())[0]).toEqual({ n: tasks, good: tasks });
  expect(await path.oracle.roles()).toEqual([]);
  expect(await path.oracle.sessions()).toBe(0);
  expect(await backendLeases()).toEqual([]);
}, 120_000);

/** What OpenBao still knows below the mount, asked as its administrator. */
async function backendLeases(): Promise<readonly string[]> {
  const admin = (await path.world.admin.backendToken()).reveal();
  const found: string[] = [];
  for (const role of ['orders-read', 'orders-write']) {
    const response = await fetch(
      `${path.world.backend.address}/v1/sys/leases/lookup/mayfly-orders/creds/${role}/?list=true`,
      { headers: { 'x-vault-token': admin } },
    );
    if (response.status === 404) continue;
    expect(response.status).toBe(200);
    const body = (await response.json()) as { data: { keys: string[] } };
    found.push(...body.data.keys);
  }
  return found;
}
