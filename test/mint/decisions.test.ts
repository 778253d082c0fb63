import { describe, expect, test } from '@jest/globals';
import { inspect } from 'node:util';
import { backendFailure, refusedByOpenBao } from '../../src/mint/backend-failure.ts';
import { mintOutcome } from '../../src/mint/mint-outcome.ts';
import { healthOf } from '../../src/mint/probe.ts';
import { nearsItsEnd, renewalDelayMs, retryDelayMs } from '../../src/mint/session-pace.ts';
import { errorTexts, VaultHttpError } from '../../src/mint/vault-http-error.ts';
import type { VaultErrorKind } from '../../src/mint/vault-http-error.ts';

function problem(
  kind: VaultErrorKind,
  status: number | null = null,
  errors: readonly string[] | null = null,
): { ok: false; failure: VaultHttpError } {
  const facts = { kind, status, errors, method: 'GET', path: '/v1/x', why: 'test' };
  return { ok: false, failure: new VaultHttpError(facts) };
}

describe('how a mint ended', () => {
  test('minted, when everything that we need is in the answer', () => {
    const outcome = mintOutcome({
      ok: true,
      value: {
        lease_id: 'agents-db/creds/r/abc',
        lease_duration: 167,
        mount_type: 'database',
        data: { username: 'mt3st-1', password: 'clear-password' },
      },
    });
    expect(outcome).toMatchObject({
      kind: 'minted',
      username: 'mt3st-1',
      backendLeaseId: 'agents-db/creds/r/abc',
      leaseSeconds: 167,
    });
    expect(inspect(outcome) + JSON.stringify(outcome)).not.toContain('clear-password');
  });

  test.each([
    ['no lease id', { lease_duration: 1, data: { username: 'u', password: 'p' } }],
    ['no user name', { lease_id: 'x', lease_duration: 1, data: { password: 'p' } }],
    ['wrapped', { wrap_info: { token: 't' } }],
    ['nothing', undefined],
    ['a text', 'ok'],
  ])('unknown, when a 200 says %s', (_what, value) => {
    expect(mintOutcome({ ok: true, value })).toMatchObject({
      kind: 'unknown',
      failure: { reason: 'mint_unknown' },
    });
  });

  test.each([400, 403, 404, 405, 413, 429])('refused, when OpenBao itself says %i', (status) => {
    expect(mintOutcome(problem('status', status, ['no'])).kind).toBe('refused');
    expect(mintOutcome(problem('status', status, [])).kind).toBe('refused');
  });

  test.each([400, 403, 404, 405, 413, 429])("unknown, when a proxy's page says %i", (status) => {
    expect(mintOutcome(problem('status', status, null)).kind).toBe('unknown');
  });

  test.each([
    ['a redirect', problem('status', 307)],
    ['500 in its own words', problem('status', 500, ['context canceled'])],
    ['502', problem('status', 502, ['upstream'])],
    ['no answer', problem('no_reply')],
    ['rubbish', problem('rubbish', 200)],
    ['an answer too large', problem('rubbish', 403)],
  ])('unknown after %s', (_what, result) => {
    const outcome = mintOutcome(result);
    expect(outcome).toMatchObject({ kind: 'unknown', failure: { reason: 'mint_unknown' } });
  });

  test('unknown when it became sealed, with the seal as the reason', () => {
    expect(mintOutcome(problem('status', 503, ['Vault is sealed']))).toMatchObject({
      kind: 'unknown',
      failure: { reason: 'backend_sealed', retryAfterSeconds: 5 },
    });
  });

  test('unsent, when no connection carried it', () => {
    expect(mintOutcome(problem('unsent'))).toMatchObject({
      kind: 'unsent',
      failure: { reason: 'backend_unreachable' },
    });
  });
});

describe('what a failed call means', () => {
  test('a revoke that the target did not take', () => {
    const { failure } = problem('status', 400, ['failed to revoke entry: resp: nil err: host x']);
    expect(backendFailure(failure).reason).toBe('target_unreachable');
    expect(backendFailure(failure).detail).not.toContain('host x');
  });

  test('a rate limit tells when to come back', () => {
    const { failure } = problem('status', 429, ['rate limit quota exceeded']);
    expect(backendFailure(failure).retryAfterSeconds).toBe(5);
  });

  test('a word of OpenBao is one with an errors array', () => {
    expect(refusedByOpenBao(problem('status', 403, ['permission denied']).failure)).toBe(true);
    expect(refusedByOpenBao(problem('status', 403, null).failure)).toBe(false);
    expect(refusedByOpenBao(problem('status', 500, ['internal error']).failure)).toBe(false);
  });
});

describe('error texts of OpenBao', () => {
  test('only an array of texts is one', () => {
    expect(errorTexts({ errors: ['a', 'b'] })).toEqual(['a', 'b']);
    expect(errorTexts({ errors: [] })).toEqual([]);
    expect(errorTexts({ errors: 'a' })).toBeNull();
    expect(errorTexts({ errors: [{ code: 1 }] })).toBeNull();
    expect(errorTexts({ data: { errors: [] } })).toBeNull();
    expect(errorTexts('<html>')).toBeNull();
    expect(errorTexts(null)).toBeNull();
  });

  test('tokens and passwords in them are taken out', () => {
    const said = errorTexts({
      errors: [
        'token s.PuEaH1yQgxkXo0LIjaBfM9VE, b.AAAAAQJnh3HVPaZZcnXmNOZK and hvs.CAESIJ1234567890abcd',
        'cannot parse postgresql://admin:sup3r@db:5432/x',
      ],
    });
    expect(said).toEqual([
      'token [redacted], [redacted] and [redacted]',
      'cannot parse postgresql://admin:[redacted]@db:5432/x',
    ]);
  });

  test('long ones are cut', () => {
    expect(errorTexts({ errors: ['x'.repeat(9_000)] })?.[0]).toHaveLength(500);
  });
});

describe('the pace of a session', () => {
  test('renews at half of the life, give or take a tenth', () => {
    expect(renewalDelayMs(3600, 0)).toBe(1_620_000);
    expect(renewalDelayMs(3600, 0.5)).toBe(1_800_000);
    expect(renewalDelayMs(3600, 0.999)).toBeLessThan(1_980_000);
  });

  test('never sleeps longer than a timer can, nor less than a second', () => {
    expect(renewalDelayMs(768 * 3600, 0.5)).toBe(1_382_400_000);
    expect(renewalDelayMs(90 * 86_400, 0.5)).toBe(2_147_483_647);
    expect(renewalDelayMs(Number.POSITIVE_INFINITY, 0.5)).toBe(2_147_483_647);
    expect(renewalDelayMs(1, 0.5)).toBe(1_000);
  });

  test('tries again every few seconds', () => {
    expect(retryDelayMs(0)).toBe(2_700);
    expect(retryDelayMs(0.999)).toBeLessThan(3_300);
  });

  test('a renewal that gives less than half of a login calls for a new login', () => {
    expect(nearsItsEnd(3600, 3600)).toBe(false);
    expect(nearsItsEnd(1799, 3600)).toBe(true);
  });
});

describe('health', () => {
  const body = { initialized: true, sealed: false, standby: false, version: '2.7.2' };
  const answer = (more: object = {}) => ({
    ok: true as const,
    value: { ...body, server_time_utc: 1_795_367_345, ...more },
  });

  test.each([
    ['ready', answer(), true, 'ready'],
    ['a standby hands on', answer({ standby: true }), true, 'ready'],
    ['sealed', answer({ sealed: true }), true, 'sealed'],
    ['not initialised', answer({ initialized: false }), true, 'sealed'],
    ['without a token', answer(), false, 'not_logged_in'],
    ["a proxy's 503", problem('status', 503), true, 'unreachable'],
    ['nobody there', problem('unsent'), true, 'unreachable'],
    ['something else', { ok: true as const, value: { status: 'up' } }, true, 'unreachable'],
  ] as const)('%s', (_what, result, loggedIn, state) => {
    expect(healthOf(result, loggedIn).state).toBe(state);
  });
});
