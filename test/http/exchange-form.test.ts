import { afterEach, describe, expect, test } from '@jest/globals';
import type { ExchangeRequest } from '../../src/broker/broker.ts';
import { failure } from '../../src/foundation/failure.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import {
  DECISION_ID,
  LEASE_ID,
  PASSWORD,
  TASK_ID,
  WORKLOAD_TOKEN,
  grant,
} from './support/examples.ts';
import { FORM, jsonOf, serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

/** A server that keeps what the form was read as. */
async function reading() {
  const asked: ExchangeRequest[] = [];
  const served = await serving({
    exchange: (request) => {
      asked.push(request);
      return Promise.resolve(succeed(grant));
    },
  });
  return { ...served, asked };
}

const plain = { 'Content-Type': 'application/x-www-form-urlencoded' };

describe('an exchange that is granted', () => {
  test('answers as RFC 8693 2.2.1 and API say', async () => {
    const { exchange } = await serving();
    const response = await exchange(FORM);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('pragma')).toBe('no-cache');
    expect(response.headers.get('x-powered-by')).toBeNull();
    expect(await response.json()).toEqual({
      access_token: grant.credential.uri.reveal(),
      issued_token_type: 'urn:mayfly:token-type:database',
      token_type: 'N_A',
      expires_in: 300,
      scope: 'orders-read',
      authorization_details: [
        {
          type: 'agent_task',
          task_type: 'reconcile-invoice',
          identifier: 'invoice-4711',
          purpose: 'Reconcile invoice 4711 with the ledger',
          actions: ['read'],
          locations: ['https://db.internal.example/orders'],
          datatypes: ['orders'],
          max_ttl: 300,
          workflow: 'month-end-2026-01',
          delegation: { max_depth: 1, max_children: 2 },
        },
      ],
      task_id: TASK_ID,
      lease_id: LEASE_ID,
      revocability: 'proven',
      deadline: '2026-01-02T03:09:05.000Z',
      credential: {
        kind: 'database',
        username: grant.credential.username,
        password: PASSWORD,
        host: 'db.internal.example',
        port: 5432,
        database: 'orders',
        sslmode: 'verify-full',
      },
      decision_id: DECISION_ID,
    });
  });

  test('is logged in one line with ids and without secrets', async () => {
    const { exchange, lines } = await serving();
    await exchange(FORM, { headers: { 'X-Request-Id': 'from-the-caller.1' } });
    const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({
      request_id: 'from-the-caller.1',
      route: '/exchange',
      status: 200,
      lease_id: LEASE_ID,
      task_id: TASK_ID,
      decision_id: DECISION_ID,
      delivery: 'delivered',
    });
    expect(lines.join('')).not.toContain('canary');
  });
});

describe('the form of an exchange', () => {
  test('reads every parameter', async () => {
    const { exchange, asked } = await reading();
    const response = await exchange([
      ...Object.entries(FORM),
      ['authorization_details', '[{"type":"agent_task"}]'],
      ['ttl', '60'],
      ['resource', 'urn:mayfly:task:reconcile-invoice:a'],
      ['audience', 'one'],
      ['audience', 'two'],
      ['requested_token_type', 'urn:ietf:params:oauth:token-type:access_token'],
    ]);
    expect(response.status).toBe(200);
    expect(asked[0]?.subjectToken.reveal()).toBe(WORKLOAD_TOKEN);
    expect(asked[0]).toMatchObject({
      scope: 'orders-read',
      authorizationDetails: '[{"type":"agent_task"}]',
      ttlSeconds: 60,
      taskUrns: ['urn:mayfly:task:reconcile-invoice:a', 'one', 'two'],
      actorToken: null,
    });
  });

  test('ignores unknown parameters and counts empty ones as absent', async () => {
    const { exchange, asked } = await reading();
    const response = await exchange([
      ...Object.entries(FORM),
      ['scope', ''],
      ['ttl', ''],
      ['actor_token', ''],
      ['actor_token_type', ''],
      ['requested_token_type', ''],
      ['resource', ''],
      ['nonsense', 'x'],
    ]);
    expect(response.status).toBe(200);
    expect(asked[0]).toMatchObject({ scope: 'orders-read', ttlSeconds: null, taskUrns: [] });
  });

  test('accepts the media type with a charset and in any case, and Basic credentials', async () => {
    const { exchange } = await serving();
    const headers = {
      'Content-Type': 'Application/X-WWW-Form-URLencoded ; Charset="UTF-8"',
      Authorization: `Basic ${Buffer.from('agent%3A1:secret').toString('base64')}`,
    };
    expect((await exchange(FORM, { headers })).status).toBe(200);
  });

  test('decodes percent-encoding, plus signs and raw UTF-8 alike', async () => {
    const { url, asked } = await reading();
    const { grant_type, subject_token, subject_token_type } = FORM;
    const body = Buffer.from(
      `grant_type=${encodeURIComponent(grant_type)}&subject_token=${subject_token}` +
        `&subject_token_type=${subject_token_type}&scope=a+b%20c%C3%A9é`,
    );
    const response = await fetch(`${url}/exchange`, { method: 'POST', headers: plain, body });
    expect(response.status).toBe(200);
    expect(asked[0]?.scope).toBe('a b céé');
  });

  test.each(['jwt', 'id_token', 'access_token'])(
    'accepts a subject token of type %s',
    async (type) => {
      const { exchange } = await serving();
      const subject_token_type = `urn:ietf:params:oauth:token-type:${type}`;
      expect((await exchange({ ...FORM, subject_token_type })).status).toBe(200);
    },
  );
});

type Case = [what: string, change: Record<string, string>, reason: string, error?: string];

const REFUSALS: Case[] = [
  ['no grant type', { grant_type: '' }, 'parameter_missing'],
  [
    'another grant type',
    { grant_type: 'client_credentials' },
    'unsupported_grant_type',
    'unsupported_grant_type',
  ],
  ['no subject token', { subject_token: '' }, 'parameter_missing'],
  ['no type of the subject token', { subject_token_type: '' }, 'parameter_missing'],
  [
    'a type of subject token that we do not take',
    { subject_token_type: 'urn:x:saml2' },
    'parameter_invalid',
  ],
  [
    'a type of issued token that we do not make',
    { requested_token_type: 'urn:ietf:params:oauth:token-type:saml2' },
    'parameter_invalid',
  ],
  ['an actor token without its type', { actor_token: 'a.b.c' }, 'parameter_missing'],
  [
    'a type of actor token without the token',
    { actor_token_type: 'urn:ietf:params:oauth:token-type:jwt' },
    'parameter_invalid',
  ],
  ['a life of nothing', { ttl: '0' }, 'parameter_invalid'],
  ['a life below nothing', { ttl: '-5' }, 'parameter_invalid'],
  ['a life of more than a day', { ttl: '86401' }, 'parameter_invalid'],
  ['a life with a fraction', { ttl: '1.5' }, 'parameter_invalid'],
  ['a life in hexadecimal', { ttl: '0x10' }, 'parameter_invalid'],
  ['a life with a space', { ttl: ' 60' }, 'parameter_invalid'],
  ['a life in other digits', { ttl: '٣٠٠' }, 'parameter_invalid'],
];

describe('an exchange is refused before anybody is asked', () => {
  test.each(REFUSALS)('%s', async (_what, change, reason, error = 'invalid_request') => {
    const { asked, exchange, exposition } = await reading();
    const response = await exchange({ ...FORM, ...change });
    expect(response.status).toBe(400);
    expect(response.headers.get('www-authenticate')).toBeNull();
    const body = await jsonOf(response);
    expect(body).toMatchObject({ error, error_reason: reason });
    expect(body['error_description']).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    expect(asked).toHaveLength(0);
    expect(await exposition()).toContain(`mayfly_refused_before_agent_total{reason="${reason}"} 1`);
  });

  test.each(['scope', 'subject_token', 'grant_type', 'authorization_details', 'nonsense'])(
    '%s given twice',
    async (name) => {
      const { asked, exchange } = await reading();
      const response = await exchange([...Object.entries(FORM), [name, 'a'], [name, 'b']]);
      expect(response.status).toBe(400);
      expect(await jsonOf(response)).toMatchObject({
        error: 'invalid_request',
        error_reason: 'duplicate_parameter',
      });
      expect(asked).toHaveLength(0);
    },
  );

  test('a credential that was sent twice without a name is not repeated', async () => {
    const { exchange } = await reading();
    const credential = 'postgresql://m1-agent:pa55word@db.example/orders';
    const response = await exchange([
      ...Object.entries(FORM),
      [credential, 'x'],
      [credential, 'y'],
    ]);
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text).toContain('duplicate_parameter');
    expect(text).not.toContain('pa55word');
  });

  test.each([
    ['JSON', { 'Content-Type': 'application/json' }, JSON.stringify(FORM)],
    ['multipart', { 'Content-Type': 'multipart/form-data; boundary=x' }, '--x--'],
    ['a form that is compressed', { ...plain, 'Content-Encoding': 'gzip' }, 'x'],
    ['broken percent-encoding', plain, 'scope=%zz'],
    ['bytes that are not UTF-8', plain, 'scope=%ff%fe'],
    ['half a character pair', plain, 'scope=%ed%a0%80'],
    ['a flood of parameters', plain, 'a=b&'.repeat(65)],
  ])('not a form: %s', async (_what, headers, body) => {
    const { asked, url } = await reading();
    const response = await fetch(`${url}/exchange`, { method: 'POST', headers, body });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({
      error: 'invalid_request',
      error_reason: 'not_a_form',
    });
    expect(asked).toHaveLength(0);
  });

  test('nothing at all', async () => {
    const { url } = await serving();
    const response = await fetch(`${url}/exchange`, { method: 'POST' });
    expect(await jsonOf(response)).toMatchObject({ error_reason: 'not_a_form' });
  });

  test('parameters in the address', async () => {
    const { asked, url } = await reading();
    const body = new URLSearchParams(FORM);
    const response = await fetch(`${url}/exchange?scope=x`, { method: 'POST', body });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({ error_reason: 'query_not_allowed' });
    expect(asked).toHaveLength(0);
  });

  test.each(['GET', 'PUT', 'DELETE', 'OPTIONS'])('method %s', async (method) => {
    const { url } = await serving();
    const response = await fetch(`${url}/exchange`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await jsonOf(response)).toMatchObject({ error_reason: 'method_not_allowed' });
  });

  test('a body over the limit', async () => {
    const { asked, exchange } = await reading();
    const response = await exchange({ ...FORM, padding: 'x'.repeat(64 * 1024) });
    expect(response.status).toBe(413);
    expect(await jsonOf(response)).toMatchObject({
      error: 'invalid_request',
      error_reason: 'body_too_large',
    });
    expect(asked).toHaveLength(0);
  });
});

describe('a failure of the use case', () => {
  test('carries its reason, its decision and when to come back', async () => {
    const { exchange } = await serving({
      exchange: () =>
        Promise.resolve(
          fail(
            failure('ledger_unreachable', 'the "ledger" is away: \\ é\u0007', {
              retryAfterSeconds: 1.2,
              decisionId: DECISION_ID,
            }),
          ),
        ),
    });
    const response = await exchange(FORM);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toEqual({
      error: 'temporarily_unavailable',
      error_description: "the 'ledger' is away: ? ??",
      error_reason: 'ledger_unreachable',
      decision_id: DECISION_ID,
    });
  });

  test('that was not expected tells nothing to the caller and no message to the log', async () => {
    const { exchange, lines } = await serving({
      exchange: () => Promise.reject(new TypeError(`cannot read ${PASSWORD}`)),
    });
    const response = await exchange(FORM);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ error: 'server_error', error_reason: 'internal' });
    expect(text).not.toMatch(/TypeError|at .*\.ts|canary/);
    expect(lines.join('')).toContain('TypeError');
    expect(lines.join('')).not.toContain('canary');
  });
});
