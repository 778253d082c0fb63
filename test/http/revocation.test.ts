import { afterEach, describe, expect, test } from '@jest/globals';
import { failure } from '../../src/foundation/failure.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import { WORKLOAD_TOKEN } from './support/examples.ts';
import { asAgent, asOperator, jsonOf, serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

const SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';

async function revoking() {
  const revoked: string[] = [];
  const served = await serving({
    revokeCredential: (_caller, credential) => {
      revoked.push(credential.reveal());
      return Promise.resolve(succeed(undefined));
    },
  });
  const revoke = (form: [string, string][], headers: Record<string, string> = {}) =>
    fetch(`${served.url}/revoke`, { method: 'POST', headers, body: new URLSearchParams(form) });
  return { ...served, revoke, revoked };
}

describe('POST /revoke', () => {
  test('by a workload token as Bearer; hints change nothing', async () => {
    const { revoke, revoked } = await revoking();
    const response = await revoke(
      [
        ['token', 'x'],
        ['token_type_hint', 'whatever'],
      ],
      asAgent,
    );
    expect(response.status).toBe(200);
    expect(revoked).toEqual(['x']);
  });

  test('by an SVID as client assertion', async () => {
    const { revoke, revoked } = await revoking();
    const response = await revoke([
      ['token', 'x'],
      ['client_assertion_type', SPIFFE],
      ['client_assertion', WORKLOAD_TOKEN],
    ]);
    expect(response.status).toBe(200);
    expect(revoked).toEqual(['x']);
  });

  test.each<[string, [string, string][], Record<string, string>, number, string, string]>([
    ['nobody', [['token', 'x']], {}, 401, 'invalid_client', 'unauthenticated'],
    [
      'Basic',
      [['token', 'x']],
      { Authorization: 'Basic eDp5' },
      401,
      'invalid_client',
      'unauthenticated',
    ],
    [
      'an unknown token',
      [['token', 'x']],
      { Authorization: 'Bearer z' },
      401,
      'invalid_client',
      'unknown_issuer',
    ],
    ["an operator's token", [['token', 'x']], asOperator, 401, 'invalid_client', 'unknown_issuer'],
    [
      'two ways at once',
      [
        ['token', 'x'],
        ['client_assertion_type', SPIFFE],
        ['client_assertion', WORKLOAD_TOKEN],
      ],
      asAgent,
      400,
      'invalid_request',
      'parameter_invalid',
    ],
    [
      'an assertion of RFC 7523, which workload tokens are not',
      [
        ['token', 'x'],
        ['client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
        ['client_assertion', WORKLOAD_TOKEN],
      ],
      {},
      400,
      'invalid_request',
      'parameter_invalid',
    ],
    [
      'a caller without a token to revoke',
      [],
      asAgent,
      400,
      'invalid_request',
      'parameter_missing',
    ],
    [
      'two tokens to revoke',
      [
        ['token', 'x'],
        ['token', 'y'],
      ],
      asAgent,
      400,
      'invalid_request',
      'duplicate_parameter',
    ],
  ])('refuses %s', async (_who, form, headers, status, error, reason) => {
    const { revoke, revoked } = await revoking();
    const response = await revoke(form, headers);
    expect(response.status).toBe(status);
    expect(response.headers.has('www-authenticate')).toBe(status === 401);
    expect(await jsonOf(response)).toMatchObject({ error, error_reason: reason });
    expect(revoked).toHaveLength(0);
  });

  test('answers 503 when the ledger could not record it', async () => {
    const { url } = await serving({
      revokeCredential: () =>
        Promise.resolve(fail(failure('ledger_unreachable', 'away', { retryAfterSeconds: 2 }))),
    });
    const body = new URLSearchParams({ token: 'x' });
    const response = await fetch(`${url}/revoke`, { method: 'POST', headers: asAgent, body });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
  });
});
