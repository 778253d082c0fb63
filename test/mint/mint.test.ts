import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { systemClock, unixSeconds } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { MintPlace } from '../../src/mint/backend.ts';
import type { Backend } from '../../src/mint/connect-backend.ts';
import { logIn } from '../../src/mint/login-method.ts';
import type { LoginMethod } from '../../src/mint/login-method.ts';
import { isTokenCreation, startHttpBetween } from '../path/support/http-between.ts';
import { backendContract } from './contract.ts';
import { nameOf, PLACE, startWorld } from './support/world.ts';
import type { World } from './support/world.ts';

let world: World;
let backend: Backend;
let lease = 1;
const others: Backend[] = [];

beforeAll(async () => {
  world = await startWorld();
  backend = await world.connect();
  await backend.start();
});

afterEach(async () => {
  await Promise.all(others.splice(0).map((other) => other.stop()));
});

afterAll(async () => {
  await backend?.stop();
  await world?.stop();
});

async function mint(by = backend, ttlSeconds = 167) {
  const name = nameOf(lease++);
  const token = await by.minter.token(PLACE, name, ttlSeconds);
  if (!token.ok) throw new Error(token.failure.detail);
  const outcome = await by.minter.credential(PLACE, token.value);
  if (outcome.kind !== 'minted') throw new Error(outcome.failure.detail);
  return { name, outcome };
}

async function roleExists(name: string): Promise<boolean> {
  return (await world.superuser('select 1 from pg_roles where rolname = $1', [name])).length === 1;
}

async function started(login: Partial<{ minter: LoginMethod; reaper: LoginMethod }>) {
  const other = await world.connect(login);
  others.push(other);
  await other.start();
  return other;
}

/** A token of an identity, got as the broker gets it. */
async function tokenOf(identity: 'minter' | 'reaper'): Promise<SecretText> {
  const login = await logIn(world.admin.port, world.logins[identity]);
  if (!login.ok) throw new Error(login.failure.message);
  return login.value.token;
}

async function liveTokens(policy: string): Promise<string[]> {
  const list = await world.admin.list('auth/token/accessors/');
  const keys = list.ok ? (list.value as { data: { keys: string[] } }).data.keys : [];
  const tokens = await Promise.all(
    keys.map(async (accessor) => {
      const found = await world.admin.write('auth/token/lookup-accessor', { accessor });
      const data = found.ok ? (found.value as { data: { policies: string[] } }).data : null;
      return data?.policies.includes(policy) === true ? [accessor] : [];
    }),
  );
  return tokens.flat();
}

async function killTokens(policy: string): Promise<void> {
  for (const accessor of await liveTokens(policy)) {
    await world.admin.write('auth/token/revoke-accessor', { accessor });
  }
}

async function eventually(what: () => Promise<boolean>): Promise<void> {
  const end = systemClock.monotonicMs() + 10_000;
  while (!(await what())) {
    if (systemClock.monotonicMs() > end) throw new Error('it did not come to that');
    await systemClock.sleep(25);
  }
}

describe('minting and ending', () => {
  test('the batch token carries the name to the database user and clamps the lease', async () => {
    const { name, outcome } = await mint(backend, 167);
    expect(outcome.username).toBe(name);
    // What is left of the token's life, in whole seconds, and not the role's 360.
    expect([166, 167]).toContain(outcome.leaseSeconds);
    await world.loginAtTarget(name, outcome.password.reveal());
    const id = outcome.backendLeaseId;
    expect(await backend.reaper.knows(id)).toEqual({ ok: true, value: true });
    expect(await backend.reaper.list(PLACE.mount, PLACE.role)).toEqual({
      ok: true,
      value: [{ id }],
    });
    expect(await backend.reaper.revoke(id)).toEqual({ ok: true, value: 'revoked' });
    expect(await roleExists(name)).toBe(false);
    expect(await backend.reaper.knows(id)).toEqual({ ok: true, value: false });
    expect(await backend.reaper.list(PLACE.mount, PLACE.role)).toEqual({ ok: true, value: [] });
  });

  test('ending what is gone is a success, and two at once are one', async () => {
    const { outcome } = await mint();
    const id = outcome.backendLeaseId;
    const [one, two] = [backend.reaper.revoke(id), backend.reaper.revoke(id)];
    expect(one).toBe(two);
    expect(await one).toEqual({ ok: true, value: 'revoked' });
    expect(await backend.reaper.revoke(id)).toEqual({ ok: true, value: 'revoked' });
  });

  test('a second credential with the same token is refused by the name', async () => {
    const token = await backend.minter.token(PLACE, nameOf(lease++), 60);
    if (!token.ok) throw new Error(token.failure.detail);
    expect((await backend.minter.credential(PLACE, token.value)).kind).toBe('minted');
    // OpenBao answers 500 here as for a user that was made and lost: nobody can tell them apart.
    expect((await backend.minter.credential(PLACE, token.value)).kind).toBe('unknown');
  });

  test('an unknown role: refused, nothing made', async () => {
    const place: MintPlace = { ...PLACE, role: 'no-such-role' };
    const token = await backend.minter.token(PLACE, nameOf(lease++), 60);
    if (!token.ok) throw new Error(token.failure.detail);
    const outcome = await backend.minter.credential(place, token.value);
    expect(outcome).toMatchObject({ kind: 'refused', failure: { reason: 'mint_refused' } });
  });

  test('an unknown token role, or a name of another installation: no token', async () => {
    const elsewhere = { ...PLACE, tokenRole: 'mayfly-nothing' };
    const refused = { ok: false, failure: { reason: 'mint_refused' } };
    expect(await backend.minter.token(elsewhere, nameOf(1), 60)).toMatchObject(refused);
    expect(await backend.minter.token(PLACE, 'm0ther-1', 60)).toMatchObject(refused);
  });

  test('a dead token: refused', async () => {
    const outcome = await backend.minter.credential(PLACE, new SecretText('b.dead'));
    expect(outcome.kind).toBe('refused');
  });

  test('nobody there: unsent', async () => {
    const other = await world.connect({ address: 'http://127.0.0.1:1' });
    const outcome = await other.minter.credential(PLACE, new SecretText('b.any'));
    expect(outcome).toMatchObject({ kind: 'unsent', failure: { reason: 'backend_unreachable' } });
    expect(await other.probe.health()).toMatchObject({ state: 'unreachable' });
  });
});

backendContract(() => ({
  minter: backend.minter,
  reaper: backend.reaper,
  place: PLACE,
  newName: () => nameOf(lease++),
  userExists: roleExists,
  holdUser: async (name) => {
    await world.superuser(`create schema held authorization "${name}"`);
    return async () => void (await world.superuser('drop schema held'));
  },
  sleep: (ms) => systemClock.sleep(ms),
}));

describe('least privilege', () => {
  const paths = {
    create: ['auth/token/create', { policies: ['root'] }],
    orphan: ['auth/token/create-orphan', {}],
    wider: [
      'auth/token/create/mayfly-orders-read',
      { display_name: nameOf(1), ttl: '1m', policies: ['mayfly-reaper'] },
    ],
    service: [
      'auth/token/create/mayfly-orders-read',
      { display_name: nameOf(1), ttl: '1m', type: 'service' },
    ],
    nameless: ['auth/token/create/mayfly-orders-read', { ttl: '1m' }],
    role: ['agents-db/roles/orders-read', { db_name: 'orders' }],
    config: ['agents-db/config/orders', { plugin_name: 'x' }],
    rotate: ['agents-db/rotate-root/orders', {}],
    policy: ['sys/policies/acl/mayfly-minter', { policy: '' }],
    secretId: ['auth/approle/role/mayfly-reaper/secret-id', {}],
    tidy: ['sys/leases/tidy', {}],
    force: ['sys/leases/revoke-force/agents-db', {}],
    prefix: ['sys/leases/revoke-prefix/agents-db', { sync: true }],
  } as const;

  test.each(Object.entries(paths))('neither may %s', async (_what, [path, body]) => {
    for (const identity of ['minter', 'reaper'] as const) {
      const token = await tokenOf(identity);
      const result = await world.admin.port.write(path, body, { token });
      expect(result.ok ? 'allowed' : result.failure.status).toBe(403);
      await world.admin.port.write('auth/token/revoke-self', {}, { token });
    }
  });

  test('the minter can neither read credentials nor revoke nor list', async () => {
    const { outcome } = await mint();
    const token = await tokenOf('minter');
    const { port } = world.admin;
    const lease_id = outcome.backendLeaseId;
    const tries = [
      await port.read('agents-db/creds/orders-read', { token }),
      await port.write('sys/leases/revoke', { lease_id, sync: true }, { token }),
      await port.write('sys/leases/lookup', { lease_id }, { token }),
      await port.list('sys/leases/lookup/agents-db/creds/orders-read/', { token }),
    ];
    expect(tries.map((result) => (result.ok ? 200 : result.failure.status))).toEqual([
      403, 403, 403, 403,
    ]);
    await backend.reaper.revoke(lease_id);
  });

  test('the reaper can neither mint nor revoke without sync nor touch other leases', async () => {
    const { name, outcome } = await mint();
    const token = await tokenOf('reaper');
    const { port } = world.admin;
    const lease_id = outcome.backendLeaseId;
    const foreign = 'auth/approle/login/h123';
    const tries = [
      await port.read('agents-db/creds/orders-read', { token }),
      await port.write(`auth/token/create/${PLACE.tokenRole}`, { display_name: name }, { token }),
      await port.write('sys/leases/revoke', { lease_id, sync: false }, { token }),
      await port.write('sys/leases/revoke', { lease_id }, { token }),
      await port.write('sys/leases/revoke', { lease_id: foreign, sync: true }, { token }),
      await port.write('sys/leases/lookup', { lease_id: foreign }, { token }),
      await port.write('sys/leases/renew', { lease_id, increment: 900 }, { token }),
      await port.list('sys/leases/lookup/auth/', { token }),
    ];
    expect(tries.map((result) => (result.ok ? 200 : result.failure.status))).toEqual(
      tries.map(() => 403),
    );
    expect(await roleExists(name)).toBe(true);
    await backend.reaper.revoke(lease_id);
  });

  test("a batch token can read its role's credentials and nothing else", async () => {
    const made = await backend.minter.token(PLACE, nameOf(lease++), 60);
    if (!made.ok) throw new Error(made.failure.detail);
    const token = made.value;
    const { port } = world.admin;
    const tries = [
      await port.read('auth/token/lookup-self', { token }),
      await port.write('auth/token/create', {}, { token }),
      await port.write('sys/leases/lookup', { lease_id: 'x' }, { token }),
      await port.read('agents-db/config/orders', { token }),
    ];
    expect(tries.map((result) => (result.ok ? 200 : result.failure.status))).toEqual([
      403, 403, 403, 403,
    ]);
  });
});

describe('sessions', () => {
  test('a token that somebody revoked is replaced by one new login, and no lease dies', async () => {
    const { name, outcome } = await mint();
    await killTokens('mayfly-minter');
    await killTokens('mayfly-reaper');
    const made = await Promise.all(Array.from({ length: 8 }, () => mint()));
    expect(made).toHaveLength(8);
    expect(await liveTokens('mayfly-minter')).toHaveLength(1);
    expect(await roleExists(name)).toBe(true);
    expect(await backend.reaper.revoke(outcome.backendLeaseId)).toMatchObject({ ok: true });
    for (const each of made) await backend.reaper.revoke(each.outcome.backendLeaseId);
  });

  test('a rate limit: mints stay silent for as long as it says, and the rest is for endings', async () => {
    const { bao, admin } = world;
    const between = await startHttpBetween('127.0.0.1', bao.port);
    const limited = await world.connect({ address: between.url });
    await limited.start();
    const { outcome } = await mint();
    await admin.write('sys/quotas/config', { enable_rate_limit_response_headers: true });
    // The administrator's own call is the first of the three.
    await admin.write('sys/quotas/rate-limit/few', { rate: 3, interval: '2s' });
    const asked = () => between.calls.filter(isTokenCreation).length;
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => limited.minter.token(PLACE, nameOf(76), 60)),
    );
    const refused = answers.flatMap((answer) => (answer.ok ? [] : [answer.failure]));
    expect(refused.length).toBeGreaterThanOrEqual(5);
    expect(refused[0]).toMatchObject({ reason: 'backend_unreachable' });
    expect(refused[0]?.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    const before = asked();
    for (let call = 0; call < 5; call++) {
      const again = await limited.minter.token(PLACE, nameOf(76), 60);
      expect(again).toMatchObject({ ok: false, failure: { reason: 'backend_unreachable' } });
    }
    expect(asked()).toBe(before);
    await eventually(async () => (await limited.reaper.revoke(outcome.backendLeaseId)).ok);
    await eventually(
      async () =>
        (await admin.port.delete('sys/quotas/rate-limit/few', { token: world.adminToken })).ok,
    );
    await eventually(async () => (await limited.minter.token(PLACE, nameOf(77), 60)).ok);
    await limited.stop();
    await between.down();
  });

  test('a refusal by policy makes no new token', async () => {
    await mint();
    const before = await liveTokens('mayfly-minter');
    for (let call = 0; call < 5; call++) await backend.minter.token(PLACE, 'm0ther-1', 60);
    expect(await liveTokens('mayfly-minter')).toEqual(before);
  });

  test('it renews before the token ends, and logs in again where that is the end', async () => {
    const role = 'auth/approle/role/mayfly-minter';
    await world.admin.write(role, { token_period: '2s' });
    const before = (await liveTokens('mayfly-minter')).length;
    const renewing = await started({});
    await systemClock.sleep(3_500);
    // The first token still lives, so it was renewed; no second one was made.
    expect((await liveTokens('mayfly-minter')).length).toBe(before + 1);
    await mint(renewing, 60);
    await renewing.stop();
    others.length = 0;

    await world.admin.write(role, { token_period: 0, token_ttl: '2s', token_max_ttl: '3s' });
    const ending = await started({});
    await systemClock.sleep(4_500);
    // The first token is past its longest life; the next one may be on its way at this very moment.
    await eventually(async () => (await ending.probe.health()).state === 'ready');
    await mint(ending, 60);
    await world.admin.write(role, { token_period: '1h', token_ttl: 0, token_max_ttl: 0 });
  }, 30_000);

  test('a stop gives the tokens back', async () => {
    const before = await liveTokens('mayfly-reaper');
    const other = await started({});
    expect(await liveTokens('mayfly-reaper')).toHaveLength(before.length + 1);
    await other.stop();
    others.length = 0;
    expect(await liveTokens('mayfly-reaper')).toEqual(before);
  });

  test('without a login it says so, and logs in when the files are there', async () => {
    const secretIdFile = join(world.folder, 'late-secret-id');
    const { minter } = world.logins;
    if (minter.kind !== 'approle') throw new Error('an AppRole was expected');
    const late = await started({ minter: { ...minter, secretIdFile } });
    expect(await late.probe.health()).toMatchObject({ state: 'not_logged_in' });
    const none = await late.minter.token(PLACE, nameOf(lease++), 60);
    expect(none).toMatchObject({ ok: false, failure: { reason: 'backend_unreachable' } });
    await writeFile(secretIdFile, await readFile(minter.secretIdFile, 'utf8'));
    await eventually(async () => (await late.probe.health()).state === 'ready');
    await mint(late, 60);
  });

  test('a wrong secret id is refused and named nowhere', async () => {
    const secretIdFile = join(world.folder, 'wrong-secret-id');
    await writeFile(secretIdFile, 'canary-of-a-wrong-secret-id');
    const { minter } = world.logins;
    if (minter.kind !== 'approle') throw new Error('an AppRole was expected');
    const wrong = await started({ minter: { ...minter, secretIdFile } });
    expect(await wrong.probe.health()).toMatchObject({ state: 'not_logged_in' });
    expect(world.logged.join('')).not.toContain('canary-of-a-wrong-secret-id');
  });

  test('a token file works, is read again when its token is dead, and is not given back', async () => {
    const file = join(world.folder, 'reaper-token');
    const first = await tokenOf('reaper');
    await writeFile(file, `${first.reveal()}\n`);
    const other = await started({ reaper: { kind: 'token_file', file } });
    expect(await other.reaper.list(PLACE.mount, PLACE.role)).toMatchObject({ ok: true });
    const second = await tokenOf('reaper');
    await writeFile(file, second.reveal());
    await world.admin.write('auth/token/revoke', { token: first.reveal() });
    expect(await other.reaper.list(PLACE.mount, PLACE.role)).toMatchObject({ ok: true });
    await other.stop();
    others.length = 0;
    const still = await world.admin.port.read('auth/token/lookup-self', { token: second });
    expect(still.ok).toBe(true);
  });
});

test('a workload token logs in, and a rotated one is taken up', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwt = (life: number) => {
    const now = unixSeconds(systemClock.now());
    const claims = { iss: 'cluster', sub: 'broker', aud: 'bao', iat: now, exp: now + life };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}`;
    const signature = sign('sha256', Buffer.from(text), {
      key: privateKey,
      dsaEncoding: 'ieee-p1363',
    });
    return `${text}.${signature.toString('base64url')}`;
  };
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  await world.admin.write('sys/auth/jwt', { type: 'jwt' });
  await world.admin.write('auth/jwt/config', {
    jwt_validation_pubkeys: [pem],
    bound_issuer: 'cluster',
  });
  await world.admin.write('auth/jwt/role/broker', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['bao'],
    token_policies: ['mayfly-reaper'],
    token_no_default_policy: true,
    token_ttl: '2s',
    token_max_ttl: '2s',
    expiration_leeway: -1,
    clock_skew_leeway: -1,
    not_before_leeway: -1,
  });
  const jwtFile = join(world.folder, 'broker-jwt');
  await writeFile(jwtFile, jwt(3));
  const other = await started({ reaper: { kind: 'jwt', role: 'broker', jwtFile } });
  const list = () => other.reaper.list(PLACE.mount, PLACE.role);
  expect(await list()).toMatchObject({ ok: true });
  // Like a projected token: renewed in place before the old one ends.
  await writeFile(jwtFile, jwt(60));
  await systemClock.sleep(3_500);
  expect(await list()).toMatchObject({ ok: true });
});

test('no token, password or secret id is in anything that was logged or can be printed', async () => {
  const { outcome } = await mint();
  const minter = await tokenOf('minter');
  const printed = inspect([backend, outcome, minter], { depth: 12, showHidden: true });
  const text = world.logged.join('') + printed + JSON.stringify([backend, outcome, minter]);
  expect(world.logged.length).toBeGreaterThan(10);
  expect(text).not.toContain(outcome.password.reveal());
  expect(text).not.toContain(minter.reveal());
  expect(text).not.toMatch(/\b(?:hv[sb]|[sb])\.[A-Za-z0-9_-]{16,}/);
  for (const login of Object.values(world.logins)) {
    if (login.kind !== 'approle') throw new Error('an AppRole was expected');
    expect(text).not.toContain((await readFile(login.secretIdFile, 'utf8')).trim());
    expect(text).not.toContain((await readFile(login.roleIdFile, 'utf8')).trim());
  }
});
