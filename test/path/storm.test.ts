import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { complete, exchange, get, grantOf, until } from './support/agent.ts';
import { startBalancer } from './support/balancer.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { inWholeSeconds, notOnce, planter, statesOf } from './support/planted.ts';
import type { Planter } from './support/planted.ts';
import { PROVE, scaled } from './support/scale.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import type { TcpProxy } from './support/tcp-proxy.ts';

let path: PathWorld;
/** What Mayfly's own logins at each target go by. */
const wires = new Map<'orders' | 'slow', TcpProxy>();
let planted: Planter;
let brokers: BrokerProcess[];
let token: string;
/** Lets what was frozen go on. */
let thaw: () => void = () => undefined;

/** More than this at one target, and nothing is minted there. */
const BACKLOG = 100;
/** What a replica has in hand at a target. */
const BATCH = 40;

beforeAll(async () => {
  path = await startPathWorld({
    'limits.yaml': (text) =>
      text
        .replace(/requests_per_minute: \d+/, 'requests_per_minute: 1000000')
        .replace(/sweep_batch: \d+/, `sweep_batch: ${BATCH}`)
        .replace(/revocation_backlog: \d+/, `revocation_backlog: ${BACKLOG}`),
  });
  for (const target of ['orders', 'slow'] as const) {
    wires.set(target, await startTcpProxy('127.0.0.1', path.world.target.port));
  }
  const settings = { MAYFLY_CONFIG_DIR: await twoTargets() };
  brokers = await Promise.all([path.broker({ settings }), path.broker({ settings })]);
  token = await path.token();
  planted = await planter(path, url(0));
}, 60_000);

afterEach(() => thaw());

afterAll(async () => {
  await path?.stop();
  await Promise.all([...wires.values()].map((wire) => wire.close()));
}, 60_000);

/** The world's catalogue with a second target at the same server; each behind a wire of its own. */
async function twoTargets(): Promise<string> {
  const folder = join(path.world.folder, 'config-two-targets');
  await cp(path.world.settings['MAYFLY_CONFIG_DIR'] ?? '', folder, { recursive: true });
  const orders = await readFile(join(folder, 'targets', 'orders.yaml'), 'utf8');
  for (const [target, { port }] of wires) {
    const text = orders
      .replace('name: orders', `name: ${target}`)
      .replace('mount: mayfly-orders', `mount: mayfly-${target}`)
      .concat(`server: { host: 127.0.0.1, port: ${port} }\n`);
    await writeFile(join(folder, 'targets', `${target}.yaml`), text);
  }
  return folder;
}

/** This target answers Mayfly's own logins nothing until `thaw`. */
function freeze(target: 'orders' | 'slow'): void {
  const wire = wires.get(target) as TcpProxy;
  const frozen = new Promise<void>((resolve) => (thaw = resolve));
  wire.onRequest = () => frozen;
}

function url(index: number): string {
  return (brokers[index] as BrokerProcess).url;
}

async function allSettled(leases: readonly string[], seconds: number): Promise<void> {
  await until('all settled', seconds, async () => {
    return (await statesOf(path, leases))['settled'] === leases.length;
  });
}

test('many due in the same second, one target frozen: the other is not kept waiting', async () => {
  const many = scaled(1_500);
  const deadline = inWholeSeconds(PROVE ? 10 : 4);
  const stuck = await planted.plant({ count: many, agent: 'a', target: 'slow', deadline });
  const after = new Date(deadline.getTime() + 1_000);
  const others = await planted.plant({ count: 100, agent: 'b', target: 'orders', deadline: after });
  // Not long before: of a guard that is away for five seconds OpenBao takes some over.
  await new Promise((resolve) => setTimeout(resolve, deadline.getTime() - 500 - Date.now()));
  freeze('slow');
  await new Promise((resolve) => setTimeout(resolve, after.getTime() - Date.now()));
  // The published bound of an ending at a healthy target; some more where two cores do all.
  await until('the others dead', 5, async () => {
    const { revoked = 0, settled = 0 } = await statesOf(path, others);
    return revoked + settled === others.length;
  });
  // What two replicas have in hand at the frozen target is bounded, whatever waits there.
  const [claimed] = await path.oracle.ledger(
    `select count(*)::int as n from mayfly.lease
     where claim_until > now() and state = 'revoking' and id = any($1::uuid[])`,
    [stuck],
  );
  expect(Number(claimed?.['n'])).toBeLessThanOrEqual(2 * BATCH);
  // More than the limit waits at the frozen target, and the other one goes on minting.
  const answer = await exchange(url(0), token, { identifier: 'meanwhile', ttl: 600 });
  expect(answer.status).toBe(200);
  thaw();
  await allSettled([...stuck, ...others], PROVE ? 120 : 20);
  expect(await notOnce(path, [...stuck, ...others])).toEqual([]);
}, 180_000);

test('F-REV-10, F-REV-11: a start with many overdue ends them with few connections', async () => {
  const overdue = PROVE ? 20_000 : 250;
  const settings = brokers.map(() => ({
    MAYFLY_CONFIG_DIR: join(path.world.folder, 'config-two-targets'),
  }));
  for (const broker of brokers) broker.kill('SIGKILL');
  await Promise.all(brokers.map(({ exited }) => exited));
  const deadline = inWholeSeconds(PROVE ? 90 : 6);
  const leases = await planted.plant({ count: overdue, agent: 'a', target: 'orders', deadline });
  await new Promise((resolve) => setTimeout(resolve, deadline.getTime() + 100 - Date.now()));
  freeze('orders');
  brokers = await Promise.all(settings.map((of) => path.broker({ settings: of })));
  await until('what is to be ended goes first', 10, async () => {
    const answer = await exchange(url(1), token, { identifier: 'too-early', ttl: 600 });
    return answer.body['error_reason'] === 'revocation_backlog';
  });
  thaw();
  const answers = new Map<string, number>();
  let connections = 0;
  let memory = 0;
  await until('all dead', PROVE ? 180 : 20, async () => {
    const answer = await exchange(url(1), token, { identifier: 'in-the-storm', ttl: 600 });
    const { error_reason: reason = '' } = answer.body as { error_reason?: string };
    const what = `${answer.status} ${reason}`.trim();
    answers.set(what, (answers.get(what) ?? 0) + 1);
    if (answer.status === 503) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    const [open] = await path.oracle.target(
      "select count(*)::int as n from pg_stat_activity where application_name = 'mayfly'",
    );
    connections = Math.max(connections, Number(open?.['n']));
    memory = Math.max(memory, await residentMegabytes(brokers[0]?.pid ?? 0));
    const { active = 0, revoking = 0 } = await statesOf(path, leases);
    return active + revoking === 0;
  });
  console.log(
    `${overdue} overdue at a start: ${connections} connections, ${memory.toFixed(0)} MB, ` +
      `exchanges ${JSON.stringify(Object.fromEntries(answers))}`,
  );
  // Two replicas, two targets at one server, guard and prover, four connections of each at most.
  expect(connections).toBeLessThanOrEqual(2 * 2 * 2 * 4);
  expect(memory).toBeLessThan(400);
  expect(['200', '503 revocation_backlog']).toEqual(expect.arrayContaining([...answers.keys()]));
  await until('minting goes on', 10, async () => {
    const later = await exchange(url(1), token, { identifier: 'after-it', ttl: 600 });
    return later.status === 200;
  });
  await allSettled(leases, PROVE ? 180 : 20);
  expect(await notOnce(path, leases)).toEqual([]);
}, 600_000);

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

test('F-REV-12: three replicas share the work, and what a killed one claimed is taken over', async () => {
  const three = await path.broker({
    settings: { MAYFLY_CONFIG_DIR: join(path.world.folder, 'config-two-targets') },
  });
  brokers.push(three);
  const before = await Promise.all(brokers.map(deaths));
  const leases = await planted.plant({
    count: scaled(3_000),
    agent: 'a',
    target: 'orders',
    deadline: inWholeSeconds(PROVE ? 15 : 4),
  });
  await allSettled(leases, PROVE ? 120 : 20);
  const after = await Promise.all(brokers.map(deaths));
  const shares = after.map((count, index) => count - (before[index] ?? 0));
  console.log(`three replicas, ${leases.length} leases: ${shares.join(' / ')}`);
  expect(shares.reduce((sum, share) => sum + share, 0)).toBe(leases.length);
  // A short run is some 15 batches: two replicas that are in luck leave the third little.
  for (const share of shares) expect(share).toBeGreaterThan(PROVE ? leases.length / 20 : 0);
  expect(await notOnce(path, leases)).toEqual([]);

  // Its claims are at a frozen target when it dies.
  freeze('slow');
  const late = await planted.plant({
    count: 3 * BATCH + 20,
    agent: 'a',
    target: 'slow',
    deadline: inWholeSeconds(3),
  });
  const owners = () =>
    path.oracle.ledger(
      `select claim_owner, count(*)::int as n from mayfly.lease
       where id = any($1::uuid[]) and state = 'revoking' group by 1`,
      [late],
    );
  await until('all three have claims', 15, async () => {
    return (await owners()).filter((row) => row['claim_owner'] !== null).length === 3;
  });
  three.kill('SIGKILL');
  await three.exited;
  brokers.pop();
  thaw();
  // The others end theirs and what nobody had; the dead one's wait for their claims to lapse.
  await until('only claims of the dead one are left', 20, async () => (await owners()).length <= 1);
  if (!PROVE) await shiftLedgerClock(CLAIM_SECONDS);
  await allSettled(late, PROVE ? CLAIM_SECONDS + 20 : 15);
  if (!PROVE) await shiftLedgerClock(0);
  expect(await notOnce(path, late)).toEqual([]);
  expect(await rolesOf([...leases, ...late])).toEqual([]);
}, 300_000);

/** Seconds until claims lapse (src/compose.ts). */
const CLAIM_SECONDS = 20;

/** Roles at the target that belong to these leases. */
async function rolesOf(leases: readonly string[]): Promise<readonly string[]> {
  const names = await path.oracle.ledger(
    'select credential_name as name from mayfly.lease where id = any($1::uuid[])',
    [leases],
  );
  const ours = new Set(names.map((row) => String(row['name'])));
  return (await path.oracle.roles()).filter((role) => ours.has(role));
}

async function shiftLedgerClock(seconds: number): Promise<void> {
  await path.oracle.ledger(
    `create or replace function mayfly.ledger_now() returns timestamptz
     language sql volatile parallel safe
     as $$ select clock_timestamp() + make_interval(secs => ${seconds}) $$`,
  );
}

async function deaths(broker: BrokerProcess): Promise<number> {
  const { body } = await get(broker.url, '/metrics');
  return [...String(body['text']).matchAll(/^mayfly_lease_deaths_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

const proven = PROVE ? test : test.skip;

proven(
  'a rolling restart under load loses nothing and answers no 5xx',
  async () => {
    brokers.push(await path.broker());
    const balancer = await startBalancer();
    for (const broker of brokers) balancer.ports.add(Number(new URL(broker.url).port));
    const answers = new Map<string, number>();
    const count = (what: string) => answers.set(what, (answers.get(what) ?? 0) + 1);
    let going = true;
    const client = async (nth: number) => {
      for (let round = 0; going; round++) {
        const identifier = `rolling-${nth}-${round}`;
        const grant = await exchange(balancer.url, token, { identifier, ttl: 60 });
        count(`exchange ${grant.status}`);
        if (grant.status !== 200) continue;
        const done = await complete(balancer.url, token, grantOf(grant).taskId);
        count(`complete ${done.status}`);
      }
    };
    const clients = Array.from({ length: 4 }, (_, nth) => client(nth));
    try {
      for (const old of [...brokers]) {
        const next = await path.broker();
        balancer.ports.add(Number(new URL(next.url).port));
        balancer.ports.delete(Number(new URL(old.url).port));
        // As docs/deploy.md says: what the kernel took for a listener that closes is cut.
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        old.kill('SIGTERM');
        expect(await old.exited).toEqual({ code: 0, signal: null });
        brokers[brokers.indexOf(old)] = next;
      }
    } finally {
      going = false;
      await Promise.all(clients).finally(() => balancer.close());
    }
    console.log(`rolling restart: ${JSON.stringify(Object.fromEntries(answers))}`);
    expect([...answers.keys()].sort()).toEqual(['complete 200', 'exchange 200']);
    const [left] = await path.oracle.ledger(
      `select count(*)::int as n from mayfly.lease l join mayfly.task t on t.id = l.task_id
     where t.identifier like 'rolling-%' and l.state not in ('revoked', 'settled')`,
    );
    expect(left?.['n']).toBe(0);
  },
  120_000,
);
