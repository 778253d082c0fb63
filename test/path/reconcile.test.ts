import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { runMayfly } from '../support/run-mayfly.ts';
import { backendAdmin } from './support/backend-admin.ts';
import type { BackendAdmin } from './support/backend-admin.ts';
import { canLogin, complete, get, granted, login, post, until } from './support/agent.ts';
import type { Granted } from './support/agent.ts';
import { isMint, startHttpBetween } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';
import { planter } from './support/plant.ts';
import type { Planter } from './support/plant.ts';

/** Seconds; far below the default, so that the tests need not wait long. */
const GRACE = 4;

let path: PathWorld;
let admin: BackendAdmin;
let plant: Planter;
let between: HttpBetween;
/** Reconciles only when asked to. */
let quiet: BrokerProcess;
let token: string;
let operator: string;
let tokenFile: string;

beforeAll(async () => {
  path = await startPathWorld({
    'limits.yaml': (text) => `${text}orphan_grace_seconds: ${GRACE}\n`,
  });
  admin = await backendAdmin(path.world);
  plant = planter(path, admin);
  between = await startHttpBetween('127.0.0.1', path.world.backend.port);
  quiet = await path.broker({
    settings: { MAYFLY_SWEEP: 'off', MAYFLY_BACKEND_URL: between.url },
  });
  token = await path.token();
  operator = await path.operator();
  tokenFile = join(path.world.folder, 'operator.token');
  await writeFile(tokenFile, operator, { mode: 0o600 });
}, 60_000);

afterAll(async () => {
  await between?.down();
  await path?.stop();
}, 60_000);

type Answer = {
  readonly complete: boolean;
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
  readonly within_grace: number;
  readonly settled: number;
  readonly findings: readonly {
    readonly kind: string;
    readonly name: string;
    readonly lease_id: string | null;
    readonly outcome: string;
  }[];
  readonly strangers: { readonly users: number; readonly names: readonly string[] };
  readonly problems: readonly { readonly place: string }[];
};

const NOTHING = { backend_lease_unknown: 0, lease_missing_in_backend: 0, user_without_lease: 0 };

async function reconcile(dryRun: boolean, broker = quiet): Promise<Answer> {
  const answer = await post(broker.url, '/v1/reconciliations', operator, { dry_run: dryRun });
  expect([answer.status, answer.body['reason']]).toEqual([200, undefined]);
  return answer.body as unknown as Answer;
}

function outcomes({ findings }: Answer): readonly string[] {
  return findings.map(({ kind, name, outcome }) => `${outcome} ${kind} ${name}`).sort();
}

async function commandLine(...options: string[]): Promise<{ code: number | null; answer: Answer }> {
  const args = ['reconcile', '--json', '--url', quiet.url, '--token-file', tokenFile, ...options];
  const { code, out } = await runMayfly(args);
  return { code, answer: JSON.parse(out) as Answer };
}

async function leaseRow(identifier: string) {
  const [row] = await path.oracle.ledger(
    `select l.state, l.backend_lease_id from mayfly.lease l
     join mayfly.task t on t.id = l.task_id where t.identifier = $1`,
    [identifier],
  );
  return row;
}

test('nothing is found where ledger, backend and target agree', async () => {
  const living = await granted(quiet.url, token, { identifier: 'rec-1', ttl: 300 });
  const { code, answer } = await commandLine('--dry-run');
  expect(answer).toMatchObject({
    complete: true,
    before: NOTHING,
    after: NOTHING,
    findings: [],
    looked_at: { open_leases: 1, users: 1, backend_leases: 1 },
  });
  expect(code).toBe(0);
  expect(await canLogin(living.uri)).toBe(true);
  await complete(quiet.url, token, living.taskId);
});

describe('with what crashes and administrators leave', () => {
  let ended: Granted;
  let gone: readonly [Granted, Granted];
  let living: Granted;
  let planted: readonly { readonly id: string; readonly user: string }[];
  let users: readonly string[];

  beforeAll(async () => {
    const grant = (identifier: string) => granted(quiet.url, token, { identifier, ttl: 300 });
    ended = await grant('ended');
    expect((await complete(quiet.url, token, ended.taskId)).status).toBe(200);
    gone = [await grant('lost-1'), await grant('lost-2')];
    living = await grant('living');
    between.decide = async (call, forward) => {
      const answer = await forward();
      return isMint(call) ? 'cut' : answer;
    };
    await expect(grant('never-came')).rejects.toThrow('mint_unknown');
    between.pass();
    planted = await Promise.all(Array.from({ length: 4 }, () => plant.backendLease()));
    users = await Promise.all(Array.from({ length: 4 }, () => plant.user(plant.name(60))));
    // OpenBao tells the age of a lease to the second.
    await new Promise((done) => setTimeout(done, (GRACE + 1.1) * 1000));
  }, 60_000);

  test('a dry run shows what is old enough, and changes nothing (F-REV-18)', async () => {
    const fresh = { lease: await plant.backendLease(), user: await plant.user() };
    const { code, answer } = await commandLine('--dry-run');
    // Four planted ones, and the one whose mint was cut.
    const found = { ...NOTHING, backend_lease_unknown: 5, user_without_lease: 8 };
    expect({ code, answer }).toMatchObject({ code: 1, answer: { before: found, after: found } });
    const shown = outcomes(answer);
    for (const { id, user } of planted) {
      expect(shown).toContain(`would_end backend_lease_unknown ${id}`);
      expect(shown).toContain(`would_end user_without_lease ${user}`);
    }
    for (const user of users) expect(shown).toContain(`would_end user_without_lease ${user}`);
    expect(shown).toContain(`within_grace backend_lease_unknown ${fresh.lease.id}`);
    expect(shown).toContain(`within_grace user_without_lease ${fresh.lease.user}`);
    expect(shown).toContain(`within_grace user_without_lease ${fresh.user}`);
    expect(answer.within_grace).toBe(3);
    const roles = await path.oracle.roles();
    expect(roles).toEqual(expect.arrayContaining([...users, ...planted.map(({ user }) => user)]));
    const leases = await admin.leases('orders-read');
    expect(leases).toEqual(expect.arrayContaining(planted.map(({ id }) => id)));
    expect(await path.oracle.ledger('select begun_at from mayfly.reconciliation')).toEqual([
      { begun_at: null },
    ]);
  });

  test('a replica killed midway is taken over, and nothing is left', async () => {
    const doomed = await path.broker({
      settings: {
        MAYFLY_SWEEP: 'off',
        MAYFLY_ALLOW_FAULTS: 'yes-this-is-a-test',
        MAYFLY_TEST_FAIL_POINTS: 'reconcile.reaper_revoke.after@2:kill',
      },
    });
    await expect(reconcile(false, doomed)).rejects.toThrow();
    expect((await doomed.exited).signal).toBe('SIGKILL');
    const busy = await post(quiet.url, '/v1/reconciliations', operator, {});
    expect([busy.status, busy.body['reason']]).toEqual([409, 'reconciliation_running']);
    // Its claim lapses; any replica that has a schedule goes on.
    await path.oracle.ledger('update mayfly.reconciliation set claim_until = mayfly.ledger_now()');
    const swept = await path.broker();
    await until('a schedule took over', 15, async () => {
      const found = await path.oracle.ledger(
        'select from mayfly.reconciliation where ended_at > begun_at',
      );
      return found.length > 0;
    });
    const leases = await admin.leases('orders-read');
    expect(planted.filter(({ id }) => leases.includes(id))).toEqual([]);
    const roles = await path.oracle.roles();
    const names = [...users, ...planted.map(({ user }) => user)];
    expect(names.filter((name) => roles.includes(name))).toEqual([]);
    const events = await path.oracle.ledger(
      `select body::jsonb->>'name' as name from mayfly.audit_event where kind = 'orphan.found'`,
    );
    expect(events.map(({ name }) => name)).toEqual(
      expect.arrayContaining([...names, ...planted.map(({ id }) => id)]),
    );
    await until('every replica shows the same numbers', 10, async () => {
      const metrics = String((await get(swept.url, '/metrics')).body['text']);
      return metrics.includes(
        'mayfly_reconcile_found{found="backend_lease_unknown",when="after"} 0',
      );
    });
    await swept.stop();
  }, 40_000);

  test('the command ends what is left, and touches nothing of others', async () => {
    const user = await plant.user(plant.name(60));
    const other = path.world.installation === 'zzzz' ? 'myyyy' : 'mzzzz';
    const stranger = plant.name(60).replace(/^m..../, other);
    await plant.role(stranger);
    await plant.role('somebody_else');
    const { answer } = await commandLine();
    expect(outcomes(answer)).toContain(`ended user_without_lease ${user}`);
    expect(answer.after).toEqual(NOTHING);
    expect(answer.strangers).toEqual({ users: 1, names: [stranger] });
    expect(await path.oracle.roleExists(user)).toBe(false);
    const left = await path.oracle.target('select rolname from pg_roles where rolname = any($1)', [
      [stranger, 'somebody_else'],
    ]);
    expect(left).toHaveLength(2);
  });

  test('a user under a closed lease is ended, counted and alarmed', async () => {
    await plant.role(ended.username);
    const done = await reconcile(false);
    expect(outcomes(done)).toContain(`ended user_without_lease ${ended.username}`);
    expect(done.findings.map(({ lease_id: id }) => id)).toContain(ended.leaseId);
    expect(await path.oracle.roleExists(ended.username)).toBe(false);
    const events = await path.oracle.ledger(
      `select from mayfly.audit_event where kind = 'lease.resurrected' and lease_id = $1`,
      [ended.leaseId],
    );
    expect(events).toHaveLength(1);
    const metrics = String((await get(quiet.url, '/metrics')).body['text']);
    expect(metrics).toContain('mayfly_resurrected_total 1');
  });

  test('what the guard may not end is left, and said so', async () => {
    const name = plant.name(60);
    // Somebody gave it more than any credential of ours has.
    await path.oracle.target(`create role "${name}" login createrole in role orders_readers`);
    const { code, answer } = await commandLine();
    await path.oracle.target(`drop role if exists "${name}"`);
    expect(outcomes(answer)).toContain(`failed user_without_lease ${name}`);
    expect(answer.after).toEqual({ ...NOTHING, user_without_lease: 1 });
    expect(code).toBe(1);
  });

  test('is for operators', async () => {
    const viewer = await path.operator('mayfly-viewers');
    const ask = (who: string, body: unknown) => post(quiet.url, '/v1/reconciliations', who, body);
    expect((await ask(viewer, {})).status).toBe(403);
    expect((await ask(token, {})).status).toBe(403);
    expect((await ask(operator, { really: true })).status).toBe(400);
  });

  test('an empty list, a standby and an outage end nothing', async () => {
    const listing = (call: { path: string }) => call.path.includes('list=true');
    between.decide = (call, forward) =>
      listing(call) ? { status: 404, body: '{"errors":[]}' } : forward();
    expect(await reconcile(false)).toMatchObject({ complete: true, before: NOTHING });
    between.decide = async (call, forward) => {
      if (listing(call)) return { status: 404, body: '{"errors":[]}' };
      if (call.path.includes('leases/lookup')) {
        return { status: 400, body: '{"errors":["invalid lease"]}' };
      }
      const answer = await forward();
      return { ...answer, body: answer.body.replace('"standby":false', '"standby":true') };
    };
    expect(await reconcile(false)).toMatchObject({ complete: false, before: NOTHING });
    between.decide = (call, forward) =>
      call.path.includes('leases')
        ? { status: 503, body: '{"errors":["Vault is sealed"]}' }
        : forward();
    expect(await reconcile(false)).toMatchObject({ complete: false, before: NOTHING });
    between.pass();
    for (const { uri } of [...gone, living]) expect(await canLogin(uri)).toBe(true);
  });

  test('leases that OpenBao forgot are ended with their cause (F-REV-14)', async () => {
    const [revoked, forced] = gone;
    const backendId = async ({ leaseId }: Granted) => {
      const [row] = await path.oracle.ledger(
        'select backend_lease_id as id from mayfly.lease where id = $1',
        [leaseId],
      );
      return String(row?.['id']);
    };
    const byHand = { lease_id: await backendId(revoked), sync: true };
    await admin.call('PUT', 'sys/leases/revoke', byHand);
    // Forced while it cannot be ended: OpenBao forgets the lease, and its user lives on.
    const routine = `mayfly_${path.world.installation}.revoke`;
    await path.oracle.target(`alter function ${routine}(text) rename to revoke_later`);
    const force = `sys/leases/revoke-force/${await backendId(forced)}`;
    expect((await admin.call('PUT', force)).status).toBe(204);
    await path.oracle.target(`alter function ${routine}_later(text) rename to revoke`);
    const session = await login(forced.uri);
    const dry = await reconcile(true);
    expect(dry.before).toEqual({ ...NOTHING, lease_missing_in_backend: 2 });
    expect(await canLogin(forced.uri)).toBe(true);
    const real = await reconcile(false);
    expect(real.after).toEqual(NOTHING);
    await expect(session.query('select 1')).rejects.toThrow();
    expect(await canLogin(forced.uri)).toBe(false);
    const rows = await path.oracle.ledger(
      'select state, end_cause, residue from mayfly.lease where id = any($1::uuid[])',
      [[revoked.leaseId, forced.leaseId]],
    );
    for (const row of rows) {
      expect(row).toMatchObject({ end_cause: 'backend_lost', residue: null });
      expect(['revoked', 'settled']).toContain(row['state']);
    }
    expect(await canLogin(living.uri)).toBe(true);
  });

  test('a lease whose backend id never came settles by the list (decision 0005)', async () => {
    // Its mint may still be under way: what it left was revoked, and its books stay open.
    expect(await reconcile(false)).toMatchObject({ settled: 0 });
    expect((await leaseRow('never-came'))?.['state']).toBe('revoked');
    await path.oracle.ledger(`create or replace function mayfly.ledger_now() returns timestamptz
      language sql volatile parallel safe as
      $$ select clock_timestamp() + interval '130 seconds' $$`);
    expect(await reconcile(true)).toMatchObject({ settled: 1 });
    expect((await leaseRow('never-came'))?.['state']).toBe('revoked');
    expect(await reconcile(false)).toMatchObject({ settled: 1, before: NOTHING });
    expect(await leaseRow('never-came')).toEqual({ state: 'settled', backend_lease_id: null });
  });
});
