import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { exchange, get, until } from './support/agent.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { inWholeSeconds, notOnce, planter, statesOf } from './support/planted.ts';
import type { Planter } from './support/planted.ts';
import { PROVE, scaled } from './support/scale.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import type { TcpProxy } from './support/tcp-proxy.ts';

let path: PathWorld;
let wire: TcpProxy;
let planted: Planter;
let brokers: BrokerProcess[];
let token: string;
/** While it is set, what goes to the second target waits for it. */
let held: Promise<void> | undefined;
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
  wire = await startTcpProxy('127.0.0.1', path.world.target.port);
  wire.onRequest = async () => held;
  const settings = { MAYFLY_CONFIG_DIR: await twoTargets() };
  brokers = await Promise.all([path.broker({ settings }), path.broker({ settings })]);
  token = await path.token();
  planted = await planter(path, url(0));
}, 60_000);

afterEach(() => thaw());

afterAll(async () => {
  await path?.stop();
  await wire?.close();
}, 60_000);

/** The world's catalogue with a second target: the same server, behind a wire that can be held. */
async function twoTargets(): Promise<string> {
  const folder = join(path.world.folder, 'config-two-targets');
  await cp(path.world.settings['MAYFLY_CONFIG_DIR'] ?? '', folder, { recursive: true });
  const orders = await readFile(join(folder, 'targets', 'orders.yaml'), 'utf8');
  const slow = orders
    .replace('name: orders', 'name: slow')
    .replace('mount: mayfly-orders', 'mount: mayfly-slow')
    .concat(`server: { host: 127.0.0.1, port: ${wire.port} }\n`);
  await writeFile(join(folder, 'targets', 'slow.yaml'), slow);
  return folder;
}

/** The second target answers nothing until `thaw`. */
function freeze(): void {
  held = new Promise((resolve) => {
    thaw = () => {
      held = undefined;
      resolve();
    };
  });
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
  freeze();
  const deadline = inWholeSeconds(PROVE ? 10 : 4);
  const stuck = await planted.plant({ count: many, agent: 'a', target: 'slow', deadline });
  const after = new Date(deadline.getTime() + 1_000);
  const others = await planted.plant({ count: 100, agent: 'b', target: 'orders', deadline: after });
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
  const deadline = inWholeSeconds(PROVE ? 60 : 3);
  const leases = await planted.plant({ count: overdue, agent: 'a', target: 'orders', deadline });
  await new Promise((resolve) => setTimeout(resolve, deadline.getTime() + 100 - Date.now()));
  brokers = await Promise.all(settings.map((of) => path.broker({ settings: of })));
  const answers = new Map<string, number>();
  let connections = 0;
  let memory = 0;
  await until('all dead', PROVE ? 180 : 20, async () => {
    const answer = await exchange(url(1), token, { identifier: 'in-the-storm', ttl: 600 });
    const what = `${answer.status} ${String(answer.body['error_reason'] ?? '')}`.trim();
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
  expect([...answers.keys()].sort()).toEqual(['200', '503 revocation_backlog']);
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
  for (const share of shares) expect(share).toBeGreaterThan(leases.length / 20);
  expect(await notOnce(path, leases)).toEqual([]);

  // Its claims are at a frozen target when it dies.
  freeze();
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
