import { afterEach, describe, expect, test } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { failure } from '../../src/foundation/failure.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import type { LeaseFilter } from '../../src/ledger/ledger.ts';
import { LEASE_ID, TASK_ID, deadLease, lease, task } from './support/examples.ts';
import { asAgent, asOperator, jsonOf, serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

const json = { 'Content-Type': 'application/json' };
const complete = `/v1/tasks/${TASK_ID}/complete`;
const SUCCEEDED = JSON.stringify({ outcome: 'succeeded' });

describe('completing a task', () => {
  test('answers 200 with the evidence when all is dead', async () => {
    const waits: number[] = [];
    const { url } = await serving({
      completeTask: (_caller, _task, _completion, wait) => {
        waits.push(wait);
        return Promise.resolve(
          succeed({ task, leases: [deadLease], leaseCount: 1, allDead: true, waitSeconds: 10 }),
        );
      },
    });
    const response = await fetch(url + complete, {
      method: 'POST',
      headers: { ...json, ...asAgent },
      body: SUCCEEDED,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('preference-applied')).toBe('wait=10');
    expect(waits).toEqual([10]);
    expect(await response.json()).toMatchObject({
      all_dead: true,
      task: { id: TASK_ID, opened_at: '2026-01-02T03:04:05.000Z', deadline: expect.any(String) },
      leases: [
        {
          id: LEASE_ID,
          state: 'settled',
          end_cause: 'completed',
          revoked_at: '2026-01-02T03:05:00.005Z',
          evidence: { seen: 'alive', oid: 16_444 },
        },
      ],
    });
  });

  test('answers 202 with the states when it takes longer', async () => {
    const waiting = { ...lease, state: 'revoking', lateReason: 'target out of reach' } as const;
    const { url } = await serving({
      completeTask: () =>
        Promise.resolve(
          succeed({ task, leases: [waiting], leaseCount: 1, allDead: false, waitSeconds: 10 }),
        ),
    });
    const response = await fetch(url + complete, {
      method: 'POST',
      headers: { ...json, ...asAgent },
      body: SUCCEEDED,
    });
    expect(response.status).toBe(202);
    expect(await jsonOf(response)).toMatchObject({
      all_dead: false,
      leases: [{ state: 'revoking', late_reason: 'target out of reach' }],
    });
  });

  test.each([
    ['wait=3', 3],
    ['wait=0', 0],
    ['respond-async, wait=7', 7],
    ['wait="5"; x=y', 5],
    ['wait=100000', 60],
    ['wait=-1', 10],
    ['wait=soon', 10],
    ['kuwait=4', 10],
  ])('waits as "Prefer: %s" says: %d s', async (prefer, seconds) => {
    const waits: number[] = [];
    const { url } = await serving({
      completeTask: (_caller, _task, _completion, wait) => {
        waits.push(wait);
        return Promise.resolve(
          succeed({ task, leases: [], leaseCount: 1, allDead: true, waitSeconds: wait }),
        );
      },
    });
    const headers = { ...json, ...asAgent, Prefer: prefer };
    const response = await fetch(url + complete, { method: 'POST', headers, body: SUCCEEDED });
    expect(waits).toEqual([seconds]);
    expect(response.headers.get('preference-applied')).toBe(`wait=${seconds}`);
  });

  test("somebody else's task is not found", async () => {
    const { url } = await serving({
      completeTask: () => Promise.resolve(fail(failure('not_found', 'no such task'))),
    });
    const headers = { ...json, ...asAgent, 'X-Request-Id': 'r-1' };
    const response = await fetch(url + complete, { method: 'POST', headers, body: SUCCEEDED });
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('x-request-id')).toBe('r-1');
    expect(await response.json()).toEqual({
      type: 'urn:mayfly:error:not_found',
      title: 'Not found',
      status: 404,
      detail: 'no such task',
      reason: 'not_found',
      instance: 'urn:mayfly:request:r-1',
    });
  });

  test.each([
    ['no outcome', '{}', 'parameter_invalid', 400],
    ['an outcome that is none', '{"outcome":"won"}', 'parameter_invalid', 400],
    ['an unknown member', '{"outcome":"failed","canary":1}', 'parameter_invalid', 400],
    ['a note on two lines', '{"outcome":"failed","note":"a\\nb"}', 'parameter_invalid', 400],
    [
      'a note that turns its direction',
      '{"outcome":"failed","note":"a\u202eb"}',
      'parameter_invalid',
      400,
    ],
    [
      'a long note',
      JSON.stringify({ outcome: 'failed', note: 'x'.repeat(501) }),
      'parameter_invalid',
      400,
    ],
    ['a member twice', '{"outcome":"failed","outcome":"succeeded"}', 'duplicate_parameter', 400],
    [
      'a member twice, escaped',
      '{"outcome":"failed","\\u006futcome":"failed"}',
      'duplicate_parameter',
      400,
    ],
    ['a list', '[]', 'parameter_invalid', 400],
    ['no JSON', '{', 'not_json', 400],
    ['nothing', '', 'not_json', 400],
    [
      'too much',
      JSON.stringify({ outcome: 'failed', note: 'x'.repeat(20_000) }),
      'body_too_large',
      413,
    ],
  ])('refuses %s', async (_what, body, reason, status) => {
    const { url } = await serving();
    const headers = { ...json, ...asAgent };
    const response = await fetch(url + complete, { method: 'POST', headers, body });
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ reason, status });
    expect(text).not.toContain('canary');
  });

  test.each(['application/x-www-form-urlencoded', 'text/plain', 'application/jsonp', ''])(
    'refuses JSON that is called %j',
    async (type) => {
      const { url } = await serving();
      const headers = { 'Content-Type': type, ...asAgent };
      const response = await fetch(url + complete, { method: 'POST', headers, body: SUCCEEDED });
      expect(await jsonOf(response)).toMatchObject({ reason: 'not_json' });
    },
  );

  test.each(['not-an-id', TASK_ID.toUpperCase(), `${TASK_ID}%00`, '..%2f..%2fmetrics'])(
    'an id that is none of ours is not found: %s',
    async (id) => {
      const { url } = await serving();
      const headers = { ...json, ...asAgent };
      const path = `/v1/tasks/${id}/complete`;
      const response = await fetch(url + path, { method: 'POST', headers, body: SUCCEEDED });
      expect(response.status).toBe(404);
      expect(await jsonOf(response)).toMatchObject({ reason: 'not_found' });
    },
  );
});

describe('who may call', () => {
  test('without a token: 401 with a bare challenge', async () => {
    const { url } = await serving();
    const response = await fetch(`${url}/v1/leases`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="mayfly"');
    expect(await jsonOf(response)).toMatchObject({ reason: 'unauthenticated' });
  });

  test('with another scheme: the same', async () => {
    const { url } = await serving();
    const response = await fetch(`${url}/v1/leases`, { headers: { Authorization: 'Basic eDp5' } });
    expect(await jsonOf(response)).toMatchObject({ reason: 'unauthenticated' });
  });

  test('with a token that nobody issued: 401 that says so and does not repeat it', async () => {
    const { url, lines } = await serving();
    const response = await fetch(`${url}/v1/leases`, {
      headers: { Authorization: 'Bearer canary-unknown' },
    });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/error="invalid_token"/);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ reason: 'unknown_issuer', status: 401 });
    expect(text + lines.join('')).not.toContain('canary');
  });

  test('the failure of the use that knows the token is told, not the other', async () => {
    const expired = fail(failure('subject_token_expired', 'expired'));
    const foreign = fail(failure('unknown_issuer', 'no such issuer'));
    const authenticator: Broker['authenticator'] = {
      agent: () => Promise.resolve(expired),
      operator: () => Promise.resolve(foreign),
    };
    const { url } = await serving({ authenticator });
    const headers = { Authorization: 'Bearer x' };
    const response = await fetch(`${url}/v1/leases/${LEASE_ID}`, { headers });
    expect(await jsonOf(response)).toMatchObject({ reason: 'subject_token_expired' });
  });

  test.each(['Bearer', 'Bearer a b', 'Bearer "x"', 'bearer:x'])('malformed: %s', async (field) => {
    const { url } = await serving();
    const response = await fetch(`${url}/v1/leases`, { headers: { Authorization: field } });
    expect(response.status).toBe(401);
    expect(await jsonOf(response)).toMatchObject({ reason: 'subject_token_malformed' });
  });

  test.each(['/v1/leases', '/v1/tasks'])('an agent may not list: %s', async (path) => {
    const { url } = await serving();
    const response = await fetch(url + path, { headers: asAgent });
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toMatch(/error="insufficient_scope"/);
    expect(await jsonOf(response)).toMatchObject({ reason: 'permission_missing' });
  });

  test('an operator may not complete', async () => {
    const { url } = await serving();
    const response = await fetch(url + complete, {
      method: 'POST',
      headers: { ...json, ...asOperator },
      body: SUCCEEDED,
    });
    expect(response.status).toBe(403);
  });

  test.each([`/v1/leases/${LEASE_ID}`, `/v1/tasks/${TASK_ID}`])(
    'agent and operator may look at %s',
    async (path) => {
      const { url } = await serving();
      expect((await fetch(url + path, { headers: asAgent })).status).toBe(200);
      expect((await fetch(url + path, { headers: asOperator })).status).toBe(200);
    },
  );
});

describe('the log', () => {
  test('is quiet about reads, tells of refusals and warns of what is broken', async () => {
    const { url, lines } = await serving({
      listTasks: () => Promise.resolve(fail(failure('ledger_unreachable', 'away'))),
    });
    await fetch(`${url}/v1/leases`, { headers: asOperator });
    await fetch(`${url}/v1/leases`, { headers: asAgent });
    await fetch(`${url}/v1/tasks`, { headers: asOperator });
    const told = lines.map((line) => JSON.parse(line) as { level: number; status: number });
    expect(told.map(({ level, status }) => [status, level])).toEqual([
      [200, 20],
      [403, 30],
      [503, 40],
    ]);
  });
});

describe('lists', () => {
  async function filtering() {
    const asked: { filter: LeaseFilter; limit: number; cursor: string | null }[] = [];
    const served = await serving({
      listLeases: (_caller, filter, limit, cursor) => {
        asked.push({ filter, limit, cursor });
        return Promise.resolve(succeed({ items: [{ ...lease, repeatOf: null }], cursor: 'next' }));
      },
    });
    const list = (query: string) =>
      fetch(`${served.url}/v1/leases${query}`, { headers: asOperator });
    return { asked, list };
  }

  test('show live leases, 50 a page, unless asked otherwise', async () => {
    const { asked, list } = await filtering();
    const response = await list('');
    expect(await jsonOf(response)).toMatchObject({ leases: [{ id: LEASE_ID }], cursor: 'next' });
    expect(asked).toEqual([
      { filter: { states: ['minting', 'active', 'revoking'] }, limit: 50, cursor: null },
    ]);
  });

  test('pass every filter on', async () => {
    const { asked, list } = await filtering();
    const sha256 = 'ab'.repeat(32);
    const response = await list(
      `?state=active,revoked&agent=a&scope=s&task=${TASK_ID}&owner=finance-platform+team` +
        `&expires_before=2026-01-02T04:04:05%2B01:00&credential_sha256=${sha256}` +
        '&late=true&unsettled=false&residue=true&limit=200&cursor=abc',
    );
    expect(response.status).toBe(200);
    expect(asked[0]).toEqual({
      filter: {
        states: ['active', 'revoked'],
        agentId: 'a',
        scope: 's',
        taskId: TASK_ID,
        owner: 'finance-platform team',
        expiresBefore: new Date('2026-01-02T03:04:05Z'),
        credentialSha256: Buffer.from(sha256, 'hex'),
        late: true,
        unsettled: false,
        residue: true,
      },
      limit: 200,
      cursor: 'abc',
    });
  });

  test.each([
    '?state=all',
    '?unsettled=true',
    '?residue=true',
    `?credential_sha256=${'0'.repeat(64)}`,
  ])('show the dead too with %s', async (query) => {
    const { asked, list } = await filtering();
    await list(query);
    expect(asked[0]?.filter.states).toContain('settled');
  });

  test.each([
    ['?agnet=x', 'parameter_invalid'],
    ['?person=x', 'parameter_invalid'],
    ['?agent=a&agent=b', 'duplicate_parameter'],
    ['?state=alive', 'parameter_invalid'],
    ['?state=active,,', 'parameter_invalid'],
    ['?task=x', 'parameter_invalid'],
    ['?limit=0', 'parameter_invalid'],
    ['?limit=201', 'parameter_invalid'],
    ['?limit=1e2', 'parameter_invalid'],
    ['?late=yes', 'parameter_invalid'],
    ['?expires_before=tomorrow', 'parameter_invalid'],
    ['?credential_sha256=abc', 'parameter_invalid'],
    [`?cursor=${'x'.repeat(513)}`, 'parameter_invalid'],
    ['?owner=%00', 'parameter_invalid'],
  ])('refuse %s: a misspelt filter must not show everything', async (query, reason) => {
    const { asked, list } = await filtering();
    const response = await list(query);
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({ reason });
    expect(asked).toHaveLength(0);
  });

  test.each([
    ['leases', 'credential_sha256', '?credential_sha256='],
    ['leases', 'agent', '?agent'],
    ['tasks', 'workflow', '?workflow=&open=true'],
  ])('of %s refuse an empty %s: it would show everything', async (list, field, query) => {
    const { url } = await serving();
    const response = await fetch(`${url}/v1/${list}${query}`, { headers: asOperator });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({ reason: 'parameter_invalid', field });
  });

  test('of tasks take their own filters', async () => {
    const asked: unknown[] = [];
    const { url } = await serving({
      listTasks: (_caller, filter, limit, cursor) => {
        asked.push({ filter, limit, cursor });
        return Promise.resolve(succeed({ items: [task], cursor: null }));
      },
    });
    const query = '?open=true&agent=a&task_type=t&identifier=i&workflow=w&limit=7';
    const response = await fetch(`${url}/v1/tasks${query}`, { headers: asOperator });
    expect(await jsonOf(response)).toMatchObject({ tasks: [{ id: TASK_ID }], cursor: null });
    expect(asked).toEqual([
      {
        filter: { open: true, agentId: 'a', taskType: 't', identifier: 'i', workflow: 'w' },
        limit: 7,
        cursor: null,
      },
    ]);
  });
});

describe('ending what a selector selects', () => {
  const post = async (body: string) => {
    let asked = 0;
    const { url } = await serving({
      revokeSelected: () => {
        asked += 1;
        return Promise.resolve(fail(failure('internal', 'not to be asked')));
      },
    });
    const headers = { ...json, ...asOperator };
    const response = await fetch(`${url}/v1/revocations`, { method: 'POST', headers, body });
    return { status: response.status, body: await jsonOf(response), asked };
  };

  test.each([
    ['selector', '{"selector":{"agent":"x"},"reason":"r","selector":{"agent":"y"}}'],
    ['selector.agent', '{"selector":{"agent":"x","agent":"y"},"reason":"r"}'],
    ['dry_run', '{"dry_run":true,"selector":{"agent":"x"},"reason":"r","dry_run":false}'],
  ])('refuses two of %s: others may have read the first', async (field, body) => {
    expect(await post(body)).toMatchObject({
      status: 400,
      body: { reason: 'duplicate_parameter', field, detail: 'give this member once' },
      asked: 0,
    });
  });
});

describe('one lease', () => {
  test('shows evidence and events; how the backend knows it, to operators only', async () => {
    const { url } = await serving();
    const path = `${url}/v1/leases/${LEASE_ID}`;
    const toOperator = await jsonOf(await fetch(path, { headers: asOperator }));
    expect(toOperator).toMatchObject({
      id: LEASE_ID,
      target: 'orders-db',
      backend: { lease_id: 'database/creds/orders-read/abc' },
      events: [{ kind: 'lease.opened', body: { scope: 'orders-read' } }],
    });
    const toAgent = await jsonOf(await fetch(path, { headers: asAgent }));
    expect(toAgent).toMatchObject({ id: LEASE_ID, events: [{ kind: 'lease.opened' }] });
    expect(toAgent).not.toHaveProperty('backend');
  });

  test.each([
    [`/v1/leases/${LEASE_ID}/revoke`, 200],
    [`/v1/tasks/${TASK_ID}/revoke`, 200],
  ])('POST %s ends it with a reason', async (path, status) => {
    const { url, lines } = await serving();
    const headers = { ...json, ...asOperator };
    const body = JSON.stringify({ reason: 'its host was taken over' });
    const response = await fetch(url + path, { method: 'POST', headers, body });
    expect(response.status).toBe(status);
    expect(lines.join('')).toContain('staff|ops@example.org');
    const without = await fetch(url + path, { method: 'POST', headers, body: '{}' });
    expect(await jsonOf(without)).toMatchObject({ reason: 'parameter_invalid', field: 'reason' });
  });

  test('that does not die at once is answered with 202', async () => {
    const { url } = await serving({
      revokeLease: () => Promise.resolve(succeed({ ...lease, state: 'revoking' as const })),
    });
    const response = await fetch(`${url}/v1/leases/${LEASE_ID}/revoke`, {
      method: 'POST',
      headers: { ...json, ...asOperator },
      body: JSON.stringify({ reason: 'x' }),
    });
    expect(response.status).toBe(202);
  });
});
