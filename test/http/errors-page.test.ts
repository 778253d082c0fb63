import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { FAILURE_REASONS, failure } from '../../src/foundation/failure.ts';
import type { FailureReason } from '../../src/foundation/failure.ts';
import { renderFailure } from '../../src/http/render-failure.ts';
import { WIRE_ERRORS } from '../../src/http/wire-errors.ts';

type Row = { reason: string; meaning: string; remedy: string; oauth: string; rest: string };

async function rows(): Promise<Row[]> {
  const page = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  return page
    .split('\n')
    .filter((line) => /^\| `\w+`/.test(line))
    .map((line) => {
      const [, reason = '', meaning = '', remedy = '', oauth = '', rest = ''] = line
        .split('|')
        .map((cell) => cell.trim());
      return { reason: reason.replaceAll('`', ''), meaning, remedy, oauth, rest };
    });
}

describe('docs/errors.md', () => {
  test('lists every reason, in the order of the list in the code', async () => {
    expect((await rows()).map((row) => row.reason)).toEqual([...FAILURE_REASONS]);
  });

  test('says of each what the bridge does', async () => {
    const page = Object.fromEntries((await rows()).map((row) => [row.reason, row]));
    const bridge = Object.fromEntries(
      FAILURE_REASONS.map((reason) => {
        const { oauth, rest } = WIRE_ERRORS[reason];
        return [reason, { oauth: `${oauth.status} \`${oauth.error}\``, rest: `${rest.status}` }];
      }),
    );
    expect(page).toMatchObject(bridge);
  });

  test('has a meaning and a remedy for each', async () => {
    for (const { reason, meaning, remedy } of await rows()) {
      expect([reason, meaning.length > 10, remedy.length > 5]).toEqual([reason, true, true]);
    }
  });
});

describe('the bridge', () => {
  test('knows exactly the reasons of the list', () => {
    expect(Object.keys(WIRE_ERRORS).sort()).toEqual([...FAILURE_REASONS].sort());
  });

  test.each([...FAILURE_REASONS])('%s is what each face allows', (reason: FailureReason) => {
    const told = failure(reason, 'a "detail"', { retryAfterSeconds: 3 });
    const oauth = renderFailure('oauth', told, 'r');
    expect([400, 401, 404, 405, 408, 409, 413, 429, 500, 503]).toContain(oauth.status);
    expect(oauth.headers?.['WWW-Authenticate'] === undefined).toBe(oauth.status !== 401);
    expect(oauth.body['error'] === 'server_error').toBe(oauth.status === 500);
    expect(oauth.body['error'] === 'temporarily_unavailable').toBe(
      [409, 429, 503].includes(oauth.status),
    );
    const rest = renderFailure('rest', told, 'r');
    expect(rest.type).toBe('application/problem+json');
    expect(rest.body).toMatchObject({ status: rest.status, reason, detail: 'a "detail"' });
    expect(rest.headers?.['Retry-After']).toBe('3');
    expect(rest.status === 401).toBe(
      rest.headers?.['WWW-Authenticate'] !== undefined && reason !== 'permission_missing',
    );
  });
});
