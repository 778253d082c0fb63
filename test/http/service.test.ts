import { afterEach, describe, expect, test } from '@jest/globals';
import { asOperator, jsonOf, serving, stopAll } from './support/serving.ts';
import { FORM } from './support/serving.ts';

afterEach(stopAll);

describe('metadata', () => {
  test('is the same at both places, and true', async () => {
    const { url } = await serving();
    const first = await jsonOf(await fetch(`${url}/.well-known/oauth-authorization-server`));
    const second = await jsonOf(await fetch(`${url}/.well-known/openid-configuration`));
    expect(second).toEqual(first);
    expect(first).toEqual({
      issuer: url,
      token_endpoint: `${url}/exchange`,
      revocation_endpoint: `${url}/revoke`,
      response_types_supported: [],
      grant_types_supported: ['urn:ietf:params:oauth:grant-type:token-exchange'],
      scopes_supported: ['orders-read'],
      token_endpoint_auth_methods_supported: ['none'],
      revocation_endpoint_auth_methods_supported: ['spiffe_jwt'],
      authorization_details_types_supported: ['agent_task'],
    });
  });

  test('of an issuer with a path is where RFC 8414 and OpenID look', async () => {
    const publicUrl = 'https://broker.example/mayfly';
    const { url } = await serving({}, { publicUrl });
    for (const path of [
      '/.well-known/oauth-authorization-server/mayfly',
      '/mayfly/.well-known/openid-configuration',
    ]) {
      expect(await jsonOf(await fetch(url + path))).toMatchObject({
        issuer: publicUrl,
        token_endpoint: `${publicUrl}/exchange`,
      });
    }
  });
});

describe('probes', () => {
  test('healthz answers whatever is behind', async () => {
    const { url } = await serving({ readiness: () => Promise.reject(new Error('away')) });
    const response = await fetch(`${url}/healthz`);
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect((await fetch(`${url}/healthz`, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(500);
  });

  test('readyz says what is ready and what is not', async () => {
    const ready = await serving();
    expect(await (await fetch(`${ready.url}/readyz`)).json()).toEqual({
      ready: true,
      ledger: { ok: true, detail: 'answers' },
      backend: { state: 'ready', detail: 'unsealed' },
      targets: [{ name: 'orders-db', ok: true, detail: 'answers' }],
      clocks: [{ part: 'target', name: 'orders-db', skew_seconds: 0.25, ok: true }],
      late: { not_dead_in_time: 0, not_settled: 0, residue: 0, targets: [] },
      alarms: { ok: true, detail: 'evaluated 3 s ago' },
      quarantine: { ok: true, detail: 'not checked yet' },
      paused: [],
    });
    const sealed = await serving({
      readiness: () =>
        Promise.resolve({
          ready: false,
          ledger: { ok: true, detail: 'answers' },
          backend: { state: 'sealed', detail: 'sealed' },
          targets: [],
          clocks: [],
          late: null,
          alarms: { ok: true, detail: 'evaluated 3 s ago' },
          quarantine: { ok: true, detail: 'not checked yet' },
          paused: [],
        }),
    });
    const response = await fetch(`${sealed.url}/readyz`);
    expect(response.status).toBe(503);
    expect(await jsonOf(response)).toMatchObject({ ready: false, backend: { state: 'sealed' } });
  });

  test('readyz: probes that come together share one check', async () => {
    let checks = 0;
    const { url } = await serving({
      readiness: async () => {
        checks++;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return {
          ready: true,
          ledger: { ok: true, detail: '' },
          backend: { state: 'ready', detail: '' },
          targets: [],
          clocks: [],
          late: null,
          alarms: { ok: true, detail: 'evaluated 3 s ago' },
          quarantine: { ok: true, detail: 'not checked yet' },
          paused: [],
        };
      },
    });
    await Promise.all([1, 2, 3, 4, 5].map(() => fetch(`${url}/readyz`)));
    expect(checks).toBe(1);
  });

  test('metrics name routes by their pattern, and nobody', async () => {
    const { url, exchange } = await serving();
    await exchange(FORM);
    await fetch(`${url}/v1/leases/0190c0de-0000-7000-8000-000000000001`, { headers: asOperator });
    await fetch(`${url}/no/such/place`);
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    const text = await response.text();
    expect(text).toContain('mayfly_http_request_seconds_count{route="/exchange",status="200"} 1');
    expect(text).toContain('{route="/v1/leases/:id",status="200"} 1');
    expect(text).toContain('{route="none",status="404"} 1');
    expect(text).not.toMatch(/invoice-reconciler|canary|0190c0de/);
  });
});

describe('an address that leads nowhere', () => {
  test.each([
    '/',
    '/v1',
    '/v1/leases/x/y',
    '/exchange/x',
    '/%zz',
    '/v1/leases/%zz',
    '/.env',
    '/EXCHANGE',
  ])('%s is not found, as a problem', async (path) => {
    const { url } = await serving();
    const response = await fetch(url + path, { headers: asOperator });
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.has('x-request-id')).toBe(true);
    expect(await jsonOf(response)).toMatchObject({ type: 'urn:mayfly:error:not_found' });
  });
});
