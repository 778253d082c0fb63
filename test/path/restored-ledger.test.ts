import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import pg from 'pg';
import { runMayfly } from '../support/run-mayfly.ts';
import { backendAdmin } from './support/backend-admin.ts';
import { canLogin, complete, exchange, get, granted, post, until } from './support/agent.ts';
import type { Granted } from './support/agent.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';

const run = promisify(execFile);

let path: PathWorld;
let broker: BrokerProcess;
let token: string;
let admin: string;
let tokenFile: string;
/** Issued before the backup, and after it: the restored ledger knows the first only. */
let before: Granted;
let after: Granted;

beforeAll(async () => {
  path = await startPathWorld({
    'limits.yaml': (text) => `${text}orphan_grace_seconds: 1\n`,
  });
  broker = await path.broker();
  token = await path.token();
  admin = await path.operator('mayfly-admins');
  tokenFile = join(path.world.folder, 'admin.token');
  await writeFile(tokenFile, admin, { mode: 0o600 });
}, 60_000);

afterAll(async () => {
  await path?.stop();
}, 60_000);

async function epoch(): Promise<number> {
  const [row] = await path.oracle.ledger('select epoch::int from mayfly.installation');
  return Number(row?.['epoch']);
}

/** As docs/backup-and-restore.md says, with a server that is stopped. */
async function copyLedger(from: string, to: string): Promise<void> {
  const inside = (name: string) => join(path.world.folder, name);
  await path.world.ledger.stop();
  await run('rm', ['-rf', inside(to)]);
  await run('cp', ['-a', inside(from), inside(to)]);
  await path.world.ledger.start();
}

async function confirm(...options: string[]) {
  const { code, out } = await runMayfly([
    ...['ledger', 'confirm', '--json', '--url', broker.url, '--token-file', tokenFile],
    ...options,
  ]);
  return { code, answer: JSON.parse(out) as Readonly<Record<string, unknown>> };
}

test('a healthy ledger rises, and its first mark is made without a word', async () => {
  expect(await epoch()).toBeGreaterThan(0);
  before = await granted(broker.url, token, { identifier: 'before', ttl: 300 });
  const { code, answer } = await confirm();
  expect(code).toBe(0);
  expect(answer).toMatchObject({ observing: null, confirmed: false });
  expect(answer['mark']).toMatchObject({ id: (answer['ledger'] as { id: string }).id });
});

test('a mark that can be read but not written is told of, and refuses nothing', async () => {
  const openbao = await backendAdmin(path.world);
  const place = 'sys/policies/acl/mayfly-reaper';
  const { policy } = (await openbao.call('GET', place)).body.data as { policy: string };
  const readOnly = policy.replace(/(path "[^"]*\/data\/ledger" \{)[^}]*\}/, `$1 ${READ} }`);
  expect(readOnly).not.toBe(policy);
  const ledgerSays = async () => JSON.stringify((await get(broker.url, '/readyz')).body['ledger']);
  await openbao.call('PUT', place, { policy: readOnly });
  try {
    await until('it is told', 15, async () => (await ledgerSays()).includes('does not rise'));
    expect((await get(broker.url, '/readyz')).status).toBe(200);
  } finally {
    await openbao.call('PUT', place, { policy });
  }
  await until('it rises', 15, async () => !(await ledgerSays()).includes('does not rise'));
}, 40_000);

const READ = 'capabilities = ["read"]';

test('a ledger that was set back is looked at, and nothing else (F-REV-15)', async () => {
  await copyLedger('ledger', 'backup');
  await until('it goes on', 15, async () => (await get(broker.url, '/readyz')).status === 200);
  const backedUp = await epoch();
  after = await granted(broker.url, token, { identifier: 'after', ttl: 300 });
  await until('the epoch rose', 15, async () => (await epoch()) > backedUp);
  await broker.stop();

  await copyLedger('backup', 'ledger');
  broker = await path.broker({ until: 'listening' });
  await until('noticed', 10, async () => (await get(broker.url, '/readyz')).status === 503);
  const ready = await get(broker.url, '/readyz');
  expect(JSON.stringify(ready.body['ledger'])).toContain('observing only');
  const refused = await exchange(broker.url, token, { identifier: 'now' });
  expect([refused.status, refused.body['error_reason']]).toEqual([503, 'ledger_not_confirmed']);
  const ending = await complete(broker.url, token, before.taskId);
  expect([ending.status, ending.body['reason']]).toEqual([503, 'ledger_not_confirmed']);
  const acting = await post(broker.url, '/v1/reconciliations', admin, {});
  expect(acting.body['reason']).toBe('ledger_not_confirmed');
  // A sweep or two: what the old ledger never heard of lives on.
  await new Promise((done) => setTimeout(done, 2500));
  expect((await get(broker.url, '/v1/leases', admin)).status).toBe(200);
  expect(await canLogin(before.uri)).toBe(true);
  expect(await canLogin(after.uri)).toBe(true);
  const metrics = String((await get(broker.url, '/metrics')).body['text']);
  expect(metrics).toContain('mayfly_observing 1');
}, 60_000);

test('a mark that cannot be read any more confirms nothing', async () => {
  const openbao = await backendAdmin(path.world);
  const place = 'sys/policies/acl/mayfly-reaper';
  const { policy } = (await openbao.call('GET', place)).body.data as { policy: string };
  const without = policy.replace(/path "[^"]*\/data\/ledger" \{[^}]*\}/, '');
  expect(without).not.toBe(policy);
  const judged = async () =>
    (await readFile(broker.logFile, 'utf8')).split(/OBSERVING ONLY|acting again/).length;
  await openbao.call('PUT', place, { policy: without });
  try {
    const before = await judged();
    await until('it was judged twice', 25, async () => (await judged()) > before + 1);
    expect((await get(broker.url, '/readyz')).status).toBe(503);
    const refused = await exchange(broker.url, token, { identifier: 'unread' });
    expect(refused.body['error_reason']).toBe('ledger_not_confirmed');
  } finally {
    await openbao.call('PUT', place, { policy });
  }
}, 40_000);

test('a confirmation that was refused has changed nothing', async () => {
  const openbao = await backendAdmin(path.world);
  const place = `mayfly-${path.world.installation}/data/ledger`;
  const kept = (await openbao.call('GET', place)).body.data as KeptMark;
  const mark = { ...kept.data, epoch: kept.data.epoch + 1 };
  const shown = String((await confirm()).answer['confirmation']);
  const held = new pg.Client({ connectionString: path.world.admin.ledgerUrl.reveal() });
  await held.connect();
  try {
    // The comparison, which lies between reading the mark and writing it, waits for this.
    await held.query('begin; lock table mayfly.lease');
    const asked = post(broker.url, '/v1/ledger/confirm', admin, { confirmation: shown });
    await until('it compares', 5, async () => (await waitingForLeases(held)) > 0);
    // Meanwhile the ledger that went on has risen.
    const options = { cas: kept.metadata.version };
    expect((await openbao.call('POST', place, { options, data: mark })).status).toBe(200);
    await held.query('rollback');
    expect((await asked).body['reason']).toBe('confirmation_outdated');
  } finally {
    await held.end();
  }
  expect(await epoch()).toBeLessThan(mark.epoch);
  const refused = await exchange(broker.url, token, { identifier: 'refused' });
  expect(refused.body['error_reason']).toBe('ledger_not_confirmed');
}, 40_000);

type KeptMark = {
  readonly data: { readonly epoch: number };
  readonly metadata: { readonly version: number };
};

async function waitingForLeases(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ count: string }>(
    `select count(*) from pg_locks where not granted and relation = 'mayfly.lease'::regclass`,
  );
  return Number(rows[0]?.count);
}

test('an operator sees the differences, and confirms just these', async () => {
  const shown = await confirm();
  expect(shown.code).toBe(1);
  const differences = shown.answer['differences'] as Readonly<Record<string, unknown>>;
  expect(differences).toMatchObject({
    dry_run: true,
    before: { backend_lease_unknown: 1, user_without_lease: 1, lease_missing_in_backend: 0 },
  });
  expect(JSON.stringify(differences['findings'])).toContain(after.username);
  const ask = (who: string, confirmation: string) =>
    post(broker.url, '/v1/ledger/confirm', who, { confirmation });
  const value = String(shown.answer['confirmation']);
  expect((await ask(await path.operator(), value)).status).toBe(403);
  const wrong = await ask(admin, '0000000000000000');
  expect([wrong.status, wrong.body['reason']]).toEqual([409, 'confirmation_outdated']);
  expect(await canLogin(after.uri)).toBe(true);

  const confirmed = await confirm('--confirmation', value);
  expect(confirmed).toMatchObject({ code: 0, answer: { confirmed: true, observing: null } });
  expect((await get(broker.url, '/readyz')).status).toBe(200);
  expect((await exchange(broker.url, token, { identifier: 'again' })).status).toBe(200);
  expect((await post(broker.url, '/v1/reconciliations', admin, {})).body['after']).toEqual({
    ...{ backend_lease_unknown: 0, lease_missing_in_backend: 0, user_without_lease: 0 },
  });
  expect(await canLogin(after.uri)).toBe(false);
  expect(await canLogin(before.uri)).toBe(true);
  const events = await path.oracle.ledger(
    `select from mayfly.audit_event where kind = 'ledger.confirmed'`,
  );
  expect(events).toHaveLength(1);
}, 30_000);

test('the setting asks for the same', async () => {
  const asked = await path.broker({
    settings: { MAYFLY_OBSERVE: 'true', MAYFLY_SWEEP: 'off' },
    until: 'listening',
  });
  const refused = await exchange(asked.url, token, { identifier: 'asked' });
  expect(refused.body['error_reason']).toBe('ledger_not_confirmed');
  await asked.stop();
});
