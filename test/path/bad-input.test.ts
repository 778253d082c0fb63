import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { allAccounted, decisions, leasesOf } from './support/accounts.ts';
import { complete, exchange, get, granted, until } from './support/agent.ts';
import type { Answer, Wanted } from './support/agent.ts';
import { isMint, isTokenCreation, startHttpBetween } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import { startOwnIssuer, trusting } from './support/own-issuer.ts';
import type { OwnIssuer } from './support/own-issuer.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';

let path: PathWorld;
let broker: BrokerProcess;
let own: OwnIssuer;
let bao: HttpBetween;

beforeAll(async () => {
  own = await startOwnIssuer(() => path.world.publicUrl);
  path = await startPathWorld(trusting(own));
  bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
  broker = await path.broker({ settings: { MAYFLY_BACKEND_URL: bao.url } });
}, 90_000);

afterEach(() => bao.pass());

afterAll(async () => {
  await path?.stop();
  await bao?.down();
  await own?.stop();
}, 60_000);

function reasonOf({ status, body }: Answer): readonly [number, unknown, unknown] {
  return [status, body['error'], body['error_reason']];
}

/** What must not change when a request is refused. */
async function traces(): Promise<unknown> {
  const [rows] = await path.oracle.ledger(
    `select (select count(*)::int from mayfly.lease) as leases,
            (select count(*)::int from mayfly.task) as tasks,
            (select count(*)::int from mayfly.audit_event) as events`,
  );
  const asked = bao.calls.filter((call) => isMint(call) || isTokenCreation(call)).length;
  return { ...rows, asked, roles: await path.oracle.roles() };
}

describe('a subject token that is not good', () => {
  const inOneMinute = () => Math.floor(Date.now() / 1000) + 60;
  const cases: readonly [string, () => Promise<string> | string, string][] = [
    ['expired', () => own.token({ exp: inOneMinute() - 120 }), 'subject_token_expired'],
    ['not yet valid', () => own.token({ nbf: inOneMinute() }), 'subject_token_not_yet_valid'],
    ['for another audience', () => own.token({ aud: 'https://other' }), 'subject_token_audience'],
    [
      'for two audiences',
      () => own.token({ aud: [path.world.publicUrl, 'https://other'] }),
      'subject_token_audience',
    ],
    ['of an unknown issuer', () => own.token({ iss: 'https://evil' }), 'unknown_issuer'],
    [
      'of an issuer in other case',
      () => own.token({ iss: own.issuer.toUpperCase() }),
      'unknown_issuer',
    ],
    ['with alg none', () => own.unsigned(), 'subject_token_algorithm'],
    ['with HMAC by the public key', () => own.hmacWithPublicKey(), 'subject_token_algorithm'],
    ['with an unknown kid', () => own.token({}, { kid: 'nobody' }), 'subject_token_key_unknown'],
    ['with a bad signature', () => own.forged(), 'subject_token_signature'],
    ['without exp', () => own.token({ exp: undefined }), 'subject_token_claims'],
    ['that lives too long', () => own.token({ exp: inOneMinute() + 9000 }), 'subject_token_claims'],
    ['that is too large', () => own.token({ pad: 'x'.repeat(17_000) }), 'subject_token_too_large'],
    ['with may_act', () => own.token({ may_act: { sub: 'x' } }), 'subject_token_delegated'],
    ['with act', () => own.token({ act: { sub: 'x' } }), 'subject_token_delegated'],
    ['with its own key in the header', () => own.token({}, { jwk: {} }), 'subject_token_malformed'],
    ['of another type', () => own.token({}, { typ: 'logout+jwt' }), 'subject_token_type'],
    ['of nobody we know', () => own.token({ sub: 'somebody-else' }), 'unmapped_identity'],
    ['that is no token', () => 'no.token', 'subject_token_malformed'],
  ];

  test('is refused by name, and leaves no trace at ledger, OpenBao or target', async () => {
    const before = await traces();
    for (const [what, make, reason] of cases) {
      const token = await make();
      const answer = await exchange(broker.url, token, { identifier: 'never' });
      expect([what, ...reasonOf(answer)]).toEqual([what, 400, 'invalid_request', reason]);
      // Nothing of the token comes back (API.md 1), neither its text nor its claims.
      const said = JSON.stringify(answer.body);
      expect(said).not.toContain(token.slice(0, 40));
      expect(said).not.toContain('somebody-else');
      expect(answer.headers.get('www-authenticate')).toBeNull();
    }
    expect(await traces()).toEqual(before);
  });

  test('as a bearer is a 401, and completes nothing', async () => {
    const grant = await granted(broker.url, await own.token(), { identifier: 'bearer-1' });
    for (const [what, make] of cases.filter(([what]) => what !== 'that is too large')) {
      const answer = await complete(broker.url, await make(), grant.taskId);
      expect([what, answer.status]).toEqual([what, 401]);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    }
    expect(await path.oracle.roleExists(grant.username)).toBe(true);
    expect((await complete(broker.url, await own.token(), grant.taskId)).status).toBe(200);
  });

  test('a workload token is no operator, and the other way round', async () => {
    const forOperators = await own.token({ aud: `${path.world.publicUrl}/operators` });
    expect((await get(broker.url, '/v1/leases', forOperators)).status).toBe(401);
    expect((await get(broker.url, '/v1/leases', await own.token())).status).toBe(403);
    const person = await path.operator('mayfly-admins');
    const answer = await exchange(broker.url, person, { identifier: 'never' });
    expect(answer.status).toBe(400);
    expect(await leasesOf(path, 'never')).toEqual([]);
  });
});

describe('a task or scope that may not be', () => {
  const task = { type: 'agent_task', task_type: 'reconcile-invoice', identifier: 'bad-1' };
  const details: readonly [string, string, string][] = [
    ['no JSON', '[{', 'details_malformed'],
    ['no array', JSON.stringify(task), 'details_malformed'],
    ['none', '[]', 'details_malformed'],
    ['two', JSON.stringify([task, task]), 'details_too_many'],
    ['another type', JSON.stringify([{ ...task, type: 'payment' }]), 'details_unsupported_type'],
    ['an unknown member', JSON.stringify([{ ...task, admin: 1 }]), 'details_unknown_member'],
    ['a prototype', '[{"type":"agent_task","__proto__":{}}]', 'details_unknown_member'],
    ['over 8 KiB', JSON.stringify([{ ...task, purpose: 'é'.repeat(4200) }]), 'details_malformed'],
    ...[
      ['a blank', 'inv 1'],
      ['a line end', 'inv-1\n'],
      ['a null', 'inv\u0000'],
      ['a right-to-left override', 'inv\u202E1'],
      ['a zero-width space', 'inv\u200B1'],
      ['a Cyrillic letter', 'inv\u043E-1'],
      ['full-width digits', 'inv-\uFF11'],
      ['nothing', ''],
      ['129 characters', 'x'.repeat(129)],
    ].map(
      ([what, identifier]) =>
        [
          `an identifier with ${what}`,
          JSON.stringify([{ ...task, identifier }]),
          'details_malformed',
        ] as [string, string, string],
    ),
    [
      'a purpose with hidden text',
      JSON.stringify([{ ...task, purpose: 'a\u2066b' }]),
      'details_malformed',
    ],
    [
      'an action in other case',
      JSON.stringify([{ ...task, actions: ['READ'] }]),
      'wider_than_task_type',
    ],
    [
      'a location that climbs',
      JSON.stringify([{ ...task, locations: ['https://db.example/orders/../billing'] }]),
      'wider_than_task_type',
    ],
    ['a longer life', JSON.stringify([{ ...task, max_ttl: 901 }]), 'wider_than_task_type'],
  ];

  async function asked(authorizationDetails: string, scope = 'orders-read'): Promise<Answer> {
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await own.token(),
      scope,
      authorization_details: authorizationDetails,
    });
    const response = await fetch(`${broker.url}/exchange`, { method: 'POST', body });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Record<string, unknown>,
    };
  }

  test('is refused by name, with exactly one event each, and never reaches OpenBao', async () => {
    const token = await own.token();
    const decided = await decisions(path);
    const mints = bao.calls.length;
    for (const [what, text, reason] of details) {
      const answer = await asked(text);
      expect([what, answer.status, answer.body['error_reason']]).toEqual([what, 400, reason]);
      const events = await path.oracle.ledger('select kind from mayfly.audit_event where id = $1', [
        answer.body['decision_id'],
      ]);
      expect([what, events]).toEqual([what, [{ kind: 'decision.denied' }]]);
    }
    const scopes: readonly [string, string][] = [
      ['orders-read ', 'scope_unknown'],
      ['orders-read orders-write', 'scope_unknown'],
      ['ORDERS-READ', 'scope_unknown'],
      ['orders\u2010read', 'scope_unknown'],
      ['__proto__', 'scope_unknown'],
      ['constructor', 'scope_unknown'],
    ];
    for (const [scope, reason] of scopes) {
      const answer = await exchange(broker.url, token, { identifier: 'bad-2', scope });
      expect([scope, ...reasonOf(answer)]).toEqual([scope, 400, 'invalid_scope', reason]);
    }
    expect(await decisions(path)).toBe(decided + details.length + scopes.length);
    expect(bao.calls.slice(mints).filter((call) => isMint(call) || isTokenCreation(call))).toEqual(
      [],
    );
  });

  test('an ended task within a day, and a task of somebody else', async () => {
    const token = await own.token();
    const wanted: Wanted = { identifier: 'ended-1', ttl: 30 };
    const grant = await granted(broker.url, token, wanted);
    const stranger = await path.token('report-writer');
    expect((await complete(broker.url, stranger, grant.taskId)).status).toBe(404);
    expect(await path.oracle.roleExists(grant.username)).toBe(true);
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
    const again = await exchange(broker.url, token, wanted);
    expect(reasonOf(again)).toEqual([400, 'access_denied', 'task_ended']);
    // The same identifier of another agent is another task.
    const other = await granted(broker.url, stranger, {
      identifier: 'ended-1',
      taskType: 'write-report',
      details: { actions: ['read'] },
    });
    expect(other.taskId).not.toBe(grant.taskId);
    await complete(broker.url, stranger, other.taskId);
  });
});

describe('an OpenBao that', () => {
  /** An exchange that must be refused as unavailable, before anything was made. */
  async function unavailable(identifier: string, reasons: readonly string[]): Promise<Answer> {
    const answer = await exchange(broker.url, await own.token(), { identifier, ttl: 30 });
    expect([answer.status, answer.body['error']]).toEqual([503, 'temporarily_unavailable']);
    expect(reasons).toContain(answer.body['error_reason']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    const [lease] = await leasesOf(path, identifier);
    expect(await path.oracle.roleExists(String(lease?.credential_name))).toBe(false);
    return answer;
  }

  async function endedIn(identifier: string): Promise<readonly unknown[]> {
    await until(`${identifier} ended`, 5, async () =>
      (await leasesOf(path, identifier)).every(
        ({ state }) => !/minting|active|revoking/.test(state),
      ),
    );
    return (await leasesOf(path, identifier)).map((lease) => [lease.mint_outcome, lease.state]);
  }

  test('is unreachable: nothing was made, and it says so', async () => {
    await bao.down();
    await unavailable('down-1', ['backend_unreachable']);
    await bao.up();
    expect(await endedIn('down-1')).toEqual([['unsent', 'abandoned']]);
    await granted(broker.url, await own.token(), { identifier: 'down-2', ttl: 5 });
  });

  test.each([
    ['HTML', { status: 200, body: '<html>hello</html>' }],
    ['JSON of another kind', { status: 200, body: '{"data":{"username":7}}' }],
    ['nothing', { status: 200, body: '' }],
    ["a proxy's refusal", { status: 403, body: '<html>denied</html>' }],
    ["a proxy's 502", { status: 502, body: '{"errors":"bad gateway"}' }],
  ])('answers %s, to the token or to the mint', async (what, reply) => {
    const name = what.replace(/[^A-Za-z]/g, '');
    bao.decide = (call, on) => (isTokenCreation(call) ? reply : on());
    await unavailable(`token-${name}`, ['backend_unreachable']);
    expect(await endedIn(`token-${name}`)).toEqual([['unsent', 'abandoned']]);
    bao.decide = (call, on) => (isMint(call) ? reply : on());
    await unavailable(`mint-${name}`, ['mint_unknown']);
    const [[outcome, state]] = (await endedIn(`mint-${name}`)) as [[string, string]];
    expect([outcome, /revoked|settled/.test(state)]).toEqual(['unknown', true]);
  });

  test('refuses with its own words: nothing was made, and it is not our fault', async () => {
    bao.decide = (call, on) =>
      isMint(call) ? { status: 403, body: '{"errors":["permission denied"]}' } : on();
    const answer = await exchange(broker.url, await own.token(), { identifier: 'refused-1' });
    expect(reasonOf(answer)).toEqual([500, 'server_error', 'mint_refused']);
    expect(await endedIn('refused-1')).toEqual([['refused', 'abandoned']]);
  });

  test('redirects: no token follows', async () => {
    const followed: string[] = [];
    const elsewhere = createServer((request, response) => {
      followed.push(`${request.method} ${request.url}`);
      response.end('{}');
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    elsewhere.unref();
    const port = (elsewhere.address() as AddressInfo).port;
    for (const status of [301, 302, 307, 308]) {
      const location = { location: `http://127.0.0.1:${port}/v1/stolen` };
      for (const which of [isTokenCreation, isMint]) {
        bao.decide = (call, on) => (which(call) ? { status, body: '', headers: location } : on());
        await unavailable(`away-${status}-${which.name}`, ['backend_unreachable', 'mint_unknown']);
      }
    }
    expect(followed).toEqual([]);
  });

  test('is sealed: says so, live credentials still die, and work goes on when it is back', async () => {
    const grant = await granted(broker.url, await own.token(), { identifier: 'seal-1', ttl: 60 });
    const admin = (await path.world.admin.backendToken()).reveal();
    const sealed = await fetch(`http://127.0.0.1:${path.world.backend.port}/v1/sys/seal`, {
      method: 'PUT',
      headers: { 'x-vault-token': admin },
    });
    expect(sealed.status).toBe(204);
    const answer = await exchange(broker.url, await own.token(), { identifier: 'seal-2', ttl: 30 });
    expect(reasonOf(answer)).toEqual([503, 'temporarily_unavailable', 'backend_sealed']);
    const ready = await get(broker.url, '/readyz');
    expect([ready.status, JSON.stringify(ready.body).includes('sealed')]).toEqual([503, true]);
    expect((await complete(broker.url, await own.token(), grant.taskId)).status).toBe(200);
    expect(await path.oracle.roleExists(grant.username)).toBe(false);
    await path.world.backend.stop();
    await path.world.backend.start();
    await until('exchanges work again', 20, async () => {
      const again = await exchange(broker.url, await own.token(), { identifier: 'seal-3', ttl: 3 });
      return again.status === 200;
    });
  }, 60_000);
});

test('in the end everything is accounted for', async () => {
  for (const identifier of ['down-2', 'seal-3']) {
    const rows = await path.oracle.ledger(
      'select id from mayfly.task where identifier = $1 and ended_at is null',
      [identifier],
    );
    for (const { id } of rows) await complete(broker.url, await own.token(), String(id));
  }
  await allAccounted(path, 15);
}, 60_000);
