import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Diagnosed } from '../../src/broker/diagnosed.ts';
import type { Provisioned } from '../../src/broker/provisioned.ts';
import type { World } from '../../src/commands/demo/world.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { runMayfly } from '../support/run-mayfly.ts';
import type { Run } from '../support/run-mayfly.ts';
import { administratorOptions, administratorSettings, temporaryWorld } from '../support/world.ts';

let world: World;

beforeAll(async () => {
  // Durable, since doctor looks at that too.
  world = await temporaryWorld({ durable: true });
});
afterAll(() => world.stop());

function asAdministrator(...args: readonly string[]): Promise<Run> {
  const [verb] = args;
  const targets =
    verb === 'backend' ? [`--target-admin=orders=${world.admin.files.targetUrl}`] : [];
  const options = { env: administratorSettings(world) };
  return runMayfly([...args, ...administratorOptions(world), ...targets], options);
}

async function stepsOf(run: Run): Promise<readonly Provisioned[]> {
  expect(run.err).toBe('');
  expect(run.code).toBe(0);
  return Promise.resolve(JSON.parse(run.out) as Provisioned[]);
}

async function sql(url: SecretText, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url.reveal() });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

async function writeToOpenBao(path: string, body: object): Promise<void> {
  const token = await world.admin.backendToken();
  const response = await fetch(`${world.backend.address}/v1/${path}`, {
    method: 'POST',
    headers: { 'x-vault-token': token.reveal() },
    body: JSON.stringify(body),
  });
  expect(response.ok).toBe(true);
}

describe('backend plan and apply', () => {
  test('a second apply changes nothing, and plan says so', async () => {
    expect(world.applied.some(({ state }) => state === 'created')).toBe(true);
    const again = await stepsOf(await asAdministrator('backend', 'apply', '--json'));
    expect(again.filter(({ state }) => state !== 'unchanged')).toEqual([]);
    expect(again.length).toBe(world.applied.length);
    const plan = await asAdministrator('backend', 'plan');
    expect(plan.out).toMatch(/Nothing to do/);
  });

  test('plan shows what apply then mends, and touches nothing itself', async () => {
    await sql(world.admin.targetUrl, 'alter role mayfly_admin reset lock_timeout');
    await writeToOpenBao('mayfly-orders/roles/orders-read', {
      db_name: 'orders',
      max_ttl: '1h',
      creation_statements: 'select 1',
    });
    for (const verb of ['plan', 'plan', 'apply']) {
      const steps = await stepsOf(await asAdministrator('backend', verb, '--json'));
      const changed = steps.filter(({ state }) => state !== 'unchanged').map(({ what }) => what);
      expect(changed).toEqual(['lock_timeout of mayfly_admin', 'mayfly-orders/roles/orders-read']);
    }
    const after = await asAdministrator('backend', 'plan');
    expect(after.out).toMatch(/Nothing to do/);
  });

  test('secrets lie in files that only their owner can read, and are never printed', async () => {
    const { secretsDir } = world.admin.files;
    const names = await readdir(secretsDir);
    expect(names.sort()).toEqual([
      'LEDGER_OWNER_URL',
      'LEDGER_READER_URL',
      'LEDGER_URL',
      'MINTER_ROLE_ID',
      'MINTER_SECRET_ID',
      'ORDERS_GUARD',
      'ORDERS_PROVER',
      'REAPER_ROLE_ID',
      'REAPER_SECRET_ID',
    ]);
    for (const name of names) {
      expect((await stat(join(secretsDir, name))).mode & 0o777).toBe(0o600);
    }
    expect((await stat(secretsDir)).mode & 0o777).toBe(0o700);
  });

  test('an address with all nodes of a cluster is kept, and its password with it', async () => {
    const file = join(world.admin.files.secretsDir, 'LEDGER_URL');
    const single = await readFile(file, 'utf8');
    const several = single.replace(/@([^/]+)/, '@$1,127.0.0.1:1');
    await writeFile(file, several);
    const again = await stepsOf(await asAdministrator('backend', 'apply', '--json'));
    expect(again.filter(({ state }) => state !== 'unchanged')).toEqual([]);
    expect(await readFile(file, 'utf8')).toBe(several);
    await sql(new SecretText(single.trim()), 'select 1');
    // One of another server is written anew, with its password.
    await writeFile(file, single.replace(/@[^/]+/, '@127.0.0.1:1,127.0.0.1:2'));
    await stepsOf(await asAdministrator('backend', 'apply', '--json'));
    expect(await readFile(file, 'utf8')).toBe(single);
    await sql(new SecretText(single.trim()), 'select 1');
  });

  test('a kept address that cannot be read changes no password', async () => {
    const file = join(world.admin.files.secretsDir, 'LEDGER_URL');
    const good = await readFile(file, 'utf8');
    await writeFile(file, 'postgresql://mayfly_app@127.0.0.1');
    const run = await asAdministrator('backend', 'apply');
    expect(run.code).toBe(2);
    expect(run.err).toMatch(/LEDGER_URL in the secrets folder holds no address/);
    await sql(new SecretText(good.trim()), 'select 1');
    await writeFile(file, good);
  });

  test('a ledger that is not the one of this OpenBao is refused before a target is touched', async () => {
    const targets = `--target-admin=orders=${world.admin.files.targetUrl}`;
    const elsewhere = { ...world.admin.files, secretsDir: join(world.folder, 'other') };
    const administrators = administratorOptions({ admin: { ...world.admin, files: elsewhere } });
    const other = ['--ledger-database', 'other'];
    const args = ['backend', 'apply', ...administrators, targets, ...other];
    const run = await runMayfly(args, { env: administratorSettings(world) });
    expect(run.code).toBe(1);
    expect(run.err).toMatch(/mayfly-orders is there and not this installation's/);
    const steps = await stepsOf(await asAdministrator('backend', 'plan', '--json'));
    expect(steps.filter(({ where, state }) => where !== 'ledger' && state !== 'unchanged')).toEqual(
      [],
    );
    // The logins of the ledger's server are shared by its databases, so they are put back.
    await world.apply();
  });

  test('an administrator that is missing is named', async () => {
    const env = administratorSettings(world);
    const run = await runMayfly(['backend', 'apply', ...administratorOptions(world)], { env });
    expect(run.code).toBe(1);
    expect(run.err).toContain('--target-admin');
  });
});

describe('doctor', () => {
  test('finds a fresh world well', async () => {
    const run = await asAdministrator('doctor');
    expect(run.err).toBe('');
    expect(run.code).toBe(0);
  });

  const FAULTS: readonly {
    readonly fault: string;
    readonly check: string;
    readonly where: string;
    readonly remedy: RegExp;
    readonly plant: () => Promise<void>;
    readonly mend: () => Promise<void>;
  }[] = [
    {
      fault: 'everybody may connect to the target',
      check: 'public_connect',
      where: 'target orders',
      remedy: /revoke/i,
      plant: () => sql(world.admin.targetUrl, 'grant connect on database orders to public'),
      mend: () => sql(world.admin.targetUrl, 'revoke connect on database orders from public'),
    },
    {
      fault: 'the guard cannot log in',
      check: 'guard_reachable',
      where: 'target orders',
      remedy: /backend apply/,
      plant: () => sql(world.admin.targetUrl, 'alter role mayfly_guard nologin'),
      mend: () => sql(world.admin.targetUrl, 'alter role mayfly_guard login'),
    },
    {
      fault: 'the application may change audit events',
      check: 'ledger_audit_append_only',
      where: 'ledger',
      remedy: /./,
      plant: () => sql(world.admin.ledgerUrl, 'grant update on mayfly.audit_event to mayfly_app'),
      mend: () => sql(world.admin.ledgerUrl, 'revoke update on mayfly.audit_event from mayfly_app'),
    },
    {
      fault: 'the minter may do more than its part',
      check: 'identity_policy',
      where: 'openbao',
      remedy: /backend apply/,
      plant: () =>
        writeToOpenBao('sys/policies/acl/mayfly-minter', {
          policy: 'path "*" { capabilities = ["read", "update", "list"] }',
        }),
      mend: async () => {
        await world.apply();
      },
    },
  ];

  // With the guard out, nothing else is asked of its target: so that fault has a run of its own.
  test.each([
    ['what can be asked', FAULTS.filter(({ check }) => check !== 'guard_reachable')],
    ['the guard', FAULTS.filter(({ check }) => check === 'guard_reachable')],
  ])('finds what was planted, with its remedy: %s', async (_which, faults) => {
    for (const { plant } of faults) await plant();
    try {
      const run = await asAdministrator('doctor', '--json');
      expect(run.code).toBe(1);
      const findings = JSON.parse(run.out) as Diagnosed[];
      for (const { fault, where, check, remedy } of faults) {
        const found = findings.find((one) => one.where === where && one.check === check && !one.ok);
        expect({ fault, remedy: found?.remedy }).toEqual({
          fault,
          remedy: expect.stringMatching(remedy) as unknown,
        });
      }
    } finally {
      for (const { mend } of faults) await mend();
    }
  });

  test('finds all well again when it was mended', async () => {
    expect((await asAdministrator('doctor')).code).toBe(0);
  });
});
