import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { Scope } from '../../src/catalogue/scope.ts';
import { applyBackend } from '../../src/mint/provision/apply-backend.ts';
import { examineBackend } from '../../src/mint/provision/examine-backend.ts';
import type { Finding } from '../../src/mint/provision/finding.ts';
import { planBackend } from '../../src/mint/provision/plan-backend.ts';
import { faultsOfTemplate } from '../../src/mint/provision/role-templates.ts';
import { unrotated } from '../../src/mint/provision/connection-url.ts';
import { designOf, FIRST_ADMIN_PASSWORD, startWorld } from './support/world.ts';
import type { World } from './support/world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
});

afterAll(() => world?.stop());

async function actions(design = world.design): Promise<Record<string, string>> {
  const plan = await planBackend(world.admin, design);
  if (!plan.ok) throw new Error(`${plan.failure.at}: ${plan.failure.message}`);
  return Object.fromEntries(plan.value.steps.map(({ piece, action }) => [piece.path, action]));
}

async function apply(design = world.design) {
  const applied = await applyBackend(world.admin, design, world.passwords);
  if (!applied.ok) throw new Error(`${applied.failure.at}: ${applied.failure.message}`);
  return applied.value.steps.filter(({ action }) => action !== 'unchanged');
}

async function write(path: string, body: object): Promise<void> {
  const result = await world.admin.write(path, body);
  if (!result.ok)
    throw new Error(`${result.failure.message} ${result.failure.errors?.join() ?? ''}`);
}

async function verifier(): Promise<string> {
  const sql = "select rolpassword as verifier from pg_authid where rolname = 'bao_admin'";
  return (await world.superuser<{ verifier: string }>(sql))[0]?.verifier ?? '';
}

async function doctor(): Promise<readonly Finding[]> {
  return examineBackend({
    at: { address: world.bao.address },
    token: world.adminToken,
    design: world.design,
    logins: world.logins,
    clock: systemClock,
  });
}

async function wrongs(): Promise<string[]> {
  const findings = await doctor();
  return findings.filter(({ ok }) => !ok).map(({ check, seen }) => `${check}: ${seen}`);
}

describe('backend plan and apply', () => {
  test('a second apply changes nothing and does not replace the root password again', async () => {
    const before = await verifier();
    expect(await apply()).toEqual([]);
    expect(await verifier()).toBe(before);
    expect(new Set(Object.values(await actions()))).toEqual(new Set(['unchanged']));
  });

  test('the root password that the administrator gave no longer opens the target', async () => {
    await expect(world.loginAtTarget('bao_admin', FIRST_ADMIN_PASSWORD)).rejects.toThrow(
      /password authentication failed/,
    );
  });

  test('an apply that broke off before the root password was replaced goes on', async () => {
    const url = world.design.configs[0]?.connectionUrl ?? '';
    await write('agents-db/config/orders', {
      plugin_name: 'postgresql-database-plugin',
      connection_url: unrotated(url),
    });
    const before = await verifier();
    expect((await apply()).map(({ piece, rotates }) => [piece.path, rotates])).toEqual([
      ['agents-db/config/orders', true],
    ]);
    expect(await verifier()).not.toBe(before);
    expect(await apply()).toEqual([]);
  });

  test.each([
    ['agents-db/roles/orders-read', { max_ttl: '24h', default_ttl: '1h' }],
    ['agents-db/roles/orders-read', { creation_statements: ['select 1'] }],
    ['agents-db/config/orders', { allowed_roles: '*', plugin_name: 'postgresql-database-plugin' }],
    ['auth/token/roles/mayfly-orders-read', { token_type: 'service' }],
    ['auth/token/roles/mayfly-orders-read', { token_no_default_policy: false }],
    ['sys/policies/acl/mayfly-reaper', { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ['auth/approle/role/mayfly-minter', { token_policies: ['mayfly-minter', 'other'] }],
  ])('sees and mends a change of %s to %j', async (path, fields) => {
    await write(path, fields);
    expect((await actions())[path]).toBe('change');
    expect((await apply()).map(({ piece }) => piece.path)).toEqual([path]);
    expect(await apply()).toEqual([]);
  });

  test('a new scope adds its pieces and widens the minter by one path', async () => {
    const second = Scope.parse({
      ...world.scope,
      name: 'orders-write',
      backend_role: 'orders-write',
      max_ttl_seconds: 600,
    });
    const wider = designOf([world.scope, second], world.target);
    const changed = (await apply(wider)).map(({ piece, action }) => `${action} ${piece.path}`);
    expect(changed).toEqual([
      'change sys/mounts/agents-db',
      'change agents-db/config/orders',
      'create agents-db/roles/orders-write',
      'create sys/policies/acl/mayfly-orders-write',
      'create auth/token/roles/mayfly-orders-write',
      'change sys/policies/acl/mayfly-minter',
    ]);
    expect(await apply(wider)).toEqual([]);
    await apply();
    const left = ['agents-db/roles', 'auth/token/roles', 'sys/policies/acl'];
    expect((await wrongs()).map((wrong) => wrong.split(':').slice(0, 2).join(':'))).toEqual(
      left.map((path) => `backend_leftovers: ${path}`),
    );
    const named = ['agents-db/roles/', 'auth/token/roles/mayfly-', 'sys/policies/acl/mayfly-'];
    for (const path of named) {
      await world.admin.port.delete(`${path}orders-write`, { token: world.adminToken });
    }
    expect(await wrongs()).toEqual([]);
  });

  test('a mount that somebody else made is refused, and nothing is written', async () => {
    await write('sys/mounts/theirs', { type: 'database', description: 'reports team' });
    const target = { ...world.target, backend: { mount: 'theirs', config: 'orders' } };
    const design = designOf([world.scope], target);
    expect((await actions(design))['sys/mounts/theirs']).toBe('refused');
    const applied = await applyBackend(world.admin, design, world.passwords);
    expect(applied).toMatchObject({ ok: false, failure: { at: 'sys/mounts/theirs' } });
    expect((await actions())['sys/policies/acl/mayfly-minter']).toBe('unchanged');
    const removed = await world.admin.port.delete('sys/mounts/theirs', { token: world.adminToken });
    expect(removed.ok).toBe(true);
  });

  test('policies of another installation are refused, and nothing is written', async () => {
    // As two installations in one namespace: both would have a minter of this name.
    const other = { ...world.design, installation: 'zzzz', mounts: [], configs: [], scopes: [] };
    expect((await actions(other))['sys/policies/acl/mayfly-minter']).toBe('refused');
    const applied = await applyBackend(world.admin, other, world.passwords);
    expect(applied).toMatchObject({
      ok: false,
      failure: {
        at: 'sys/policies/acl/mayfly-minter',
        message: expect.stringContaining(`installation is ${world.design.installation}`),
      },
    });
    expect((await actions(other))['sys/mounts/mayfly-zzzz']).toBe('create');
    expect(await apply()).toEqual([]);
  });

  test('a policy that nobody signed is written anew', async () => {
    await write('sys/policies/acl/mayfly-reaper', {
      policy: 'path "x" { capabilities = ["read"] }',
    });
    const changed = (await apply()).map(({ piece, action }) => `${action} ${piece.path}`);
    expect(changed).toEqual(['change sys/policies/acl/mayfly-reaper']);
  });

  test('a config without a password is refused before anything is written', async () => {
    const target = { ...world.target, backend: { mount: 'agents-two', config: 'orders' } };
    const design = designOf([world.scope], target);
    const applied = await applyBackend(world.admin, design, new Map());
    expect(applied).toMatchObject({
      ok: false,
      failure: { message: 'the password of bao_admin at target orders is needed' },
    });
    expect((await actions(design))['sys/mounts/agents-two']).toBe('create');
  });

  test('the reaper keeps its rights on a mount that the catalogue has left', async () => {
    const elsewhere = { ...world.target, backend: { mount: 'agents-new', config: 'orders' } };
    const plan = await planBackend(world.admin, designOf([world.scope], elsewhere));
    const steps = plan.ok ? plan.value.steps : [];
    const reaper = steps.find(({ piece }) => piece.path === 'sys/policies/acl/mayfly-reaper');
    expect(reaper?.piece.wanted['policy']).toContain('"agents-db/creds/*", "agents-new/creds/*"');
  });

  test('a token that is no administrator is told what it may not do', async () => {
    const plan = await planBackend(
      { ...world.admin, read: (path) => world.admin.port.read(path, { token: nobody }) },
      world.design,
    );
    expect(plan).toMatchObject({ ok: false, failure: { at: 'sys/mounts' } });
  });
});

const nobody = new SecretText('s.nobody');

describe('doctor', () => {
  test('finds nothing wrong in what apply made', async () => {
    const findings = await doctor();
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(new Set(findings.map(({ check }) => check)).size).toBeGreaterThan(18);
  });

  test.each([
    [
      'sys/policies/acl/mayfly-minter',
      'minter_limits: may reach agents-db/creds/orders-read',
      { policy: 'path "agents-db/creds/*" { capabilities = ["read"] }' },
    ],
    [
      'auth/approle/role/mayfly-reaper',
      'reaper_policies: its token has default, mayfly-reaper',
      { token_no_default_policy: false },
    ],
    [
      'auth/token/roles/mayfly-orders-read',
      'token_role: auth/token/roles/mayfly-orders-read: token_type is service, not batch',
      { token_type: 'service' },
    ],
  ])('a fault planted in %s: %s', async (path, finding, fields) => {
    await write(path, fields);
    expect((await wrongs()).join('\n')).toContain(finding);
    await apply();
    expect(await wrongs()).toEqual([]);
  });

  test('F-REV-4 and F-REV-5: roles whose credentials cannot be ended well, whoever made them', async () => {
    await write('agents-db/roles/orders-read', { revocation_statements: [] });
    expect((await wrongs()).join('\n')).toContain(
      'role_template: agents-db/roles/orders-read: it has no revocation statements',
    );
    await apply();
    await write('agents-db/roles/by-hand', {
      db_name: 'orders',
      creation_statements: [
        'create role "{{name}}" login; GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{{name}}";',
      ],
      revocation_statements: ['drop role "{{name}}"'],
    });
    expect((await wrongs()).join('\n')).toContain(
      'role_template: agents-db/roles/by-hand: its creation statements grant privileges on objects',
    );
    await world.admin.port.delete('agents-db/roles/by-hand', { token: world.adminToken });
    expect(await wrongs()).toEqual([]);
  });

  test.each([
    [['create role "{{name}}" login in role readers'], ['drop role "{{name}}"'], 0],
    [['grant readers to "{{name}}"', 'comment on role "{{name}}" is 1'], ['drop role x'], 0],
    [['GRANT usage\nON SCHEMA public TO "{{name}}"'], ['drop role x'], 1],
    [['alter default privileges grant select on tables to "{{name}}"'], [' '], 3],
    [[], [], 1],
  ])('F-REV-5: statements %j, %j have %i faults', (creation, revocation, faults) => {
    expect(faultsOfTemplate({ creation, revocation })).toHaveLength(faults);
  });

  test('a maximum TTL of the server that is too short', async () => {
    await write('sys/auth/token/tune', { max_lease_ttl: '60s' });
    expect((await wrongs()).join('\n')).toContain(
      'backend_max_ttl: sys/auth/token/tune: max_lease_ttl is 60 s, 360 s are needed',
    );
    await write('sys/auth/token/tune', { max_lease_ttl: '24h' });
  });

  test('a login that does not work, and one that is not there', async () => {
    const base = { at: { address: world.bao.address }, token: world.adminToken };
    const rest = { design: world.design, clock: systemClock };
    const without = await examineBackend({ ...base, ...rest, logins: null });
    expect(without.find(({ check }) => check === 'identity')?.ok).toBe(false);
    const missing = { kind: 'token_file', file: `${world.folder}/none` } as const;
    const broken = await examineBackend({
      ...base,
      ...rest,
      logins: { minter: missing, reaper: world.logins.reaper },
    });
    expect(broken.find(({ check }) => check === 'minter_login')).toMatchObject({ ok: false });
  });

  test('clocks that differ, and a namespace that is not there', async () => {
    const late = { ...systemClock, now: () => new Date(systemClock.now().getTime() - 60_000) };
    const findings = await examineBackend({
      at: { address: world.bao.address },
      token: world.adminToken,
      design: world.design,
      logins: world.logins,
      clock: late,
    });
    const clock = findings.find(({ check }) => check === 'backend_clock');
    expect(clock).toMatchObject({ ok: false });
    expect(Number.parseFloat(clock?.seen ?? '')).toBeCloseTo(59.5, -1);
  });

  test('nobody there', async () => {
    const findings = await examineBackend({
      at: { address: 'http://127.0.0.1:1' },
      token: nobody,
      design: world.design,
      logins: null,
      clock: systemClock,
    });
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ check: 'backend_reachable', ok: false });
  });
});
