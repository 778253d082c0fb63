import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import type { ServerResponse as Reply } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Issuer } from '../../src/catalogue/issuer.ts';
import { createKeySet } from '../../src/identity/keys/key-set.ts';
import type { KeySet } from '../../src/identity/keys/key-set.ts';
import { keySourceOf } from '../../src/identity/keys/key-source.ts';
import type { RefreshTimes } from '../../src/identity/keys/refresh-rules.ts';
import { oidc, spiffe } from './support/catalogue.ts';
import { startKeyServer } from './support/key-server.ts';
import type { KeyServer } from './support/key-server.ts';
import { selfSigned } from './support/self-signed.ts';
import { testClock } from './support/test-clock.ts';
import { makeKey } from './support/tokens.ts';
import type { SigningKey } from './support/tokens.ts';

const TIMES: RefreshTimes = {
  maxAgeMs: 300_000,
  staleMs: 3_600_000,
  coolDownMs: 10_000,
  retryMs: 3_000,
  missMs: 60_000,
};
const TIMEOUT_MS = 300;
const BYTES_MAX = 4096;
const TIMED_OUT = `it took longer than ${TIMEOUT_MS} ms`;

let server: KeyServer;
let folder: string;
let clock: ReturnType<typeof testClock>;
let problems: string[];
let readings: number;
let first: SigningKey;
let second: SigningKey;

beforeAll(async () => {
  [first, second] = await Promise.all([makeKey('first'), makeKey('second')]);
});

beforeEach(async () => {
  server = await startKeyServer();
  folder = mkdtempSync(join(tmpdir(), 'mayfly-keys-'));
  clock = testClock();
  problems = [];
  readings = 0;
});

afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

function keySet(definition: Issuer, times: RefreshTimes = TIMES): KeySet {
  const source = keySourceOf(definition, {
    timeoutMs: TIMEOUT_MS,
    maxBytes: BYTES_MAX,
    baseFolder: folder,
  });
  const log = {
    debug: () => undefined,
    info: () => void (readings += 1),
    warn: (members: { problem?: string }) => void problems.push(members.problem ?? ''),
    error: () => undefined,
    child: () => log,
  };
  return createKeySet({ name: definition.name, source, times, clock, log: log as never });
}

async function outcome(keys: KeySet, kid = 'first', algorithm = 'ES256'): Promise<string> {
  const found = await keys.find(kid, algorithm);
  return found.ok ? 'found' : found.failure.reason;
}

const byUrl = (url: string) => oidc({ keys: { jwks_url: url } });

describe('fetching', () => {
  test('many tokens at once cause one fetch, and later ones none', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => outcome(keys)));
    expect(new Set(outcomes)).toEqual(new Set(['found']));
    await outcome(keys);
    expect(server.asked).toEqual(['/jwks']);
  });

  test.each([
    ['is not there', undefined, 'it was answered with 404, not 200'],
    [
      'redirects',
      (_: unknown, r: Reply) => r.writeHead(302, { location: '/elsewhere' }).end(),
      'it was answered with 302, not 200',
    ],
    [
      'answers rubbish',
      (_: unknown, r: Reply) => r.end('<html>secret page</html>'),
      'it is not a JSON object without repeated members',
    ],
    [
      'answers without keys',
      (_: unknown, r: Reply) => r.end('{"error":"x"}'),
      'it has no list named keys',
    ],
    [
      'answers too much',
      (_: unknown, r: Reply) => r.end(`{"keys":[],"x":"${'x'.repeat(BYTES_MAX)}"}`),
      `it is larger than ${BYTES_MAX} bytes`,
    ],
    ['never answers', () => undefined, TIMED_OUT],
    ['stalls within the body', (_: unknown, r: Reply) => r.write('{"keys":'), TIMED_OUT],
    [
      'is cut within the body',
      (_: unknown, r: Reply) => {
        r.writeHead(200, { 'content-length': '100' });
        r.write('{');
        setTimeout(() => r.destroy(), 20);
      },
      'it cannot be fetched (ECONNRESET)',
    ],
    [
      'answers compressed',
      (_: unknown, r: Reply) => r.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
      'it was answered compressed, unasked',
    ],
    [
      'fails',
      (_: unknown, r: Reply) => r.writeHead(500).end(),
      'it was answered with 500, not 200',
    ],
  ])('a server that %s leaves the keys unavailable', async (_what, handler, problem) => {
    if (handler) server.answer('/jwks', handler);
    server.answer('/elsewhere', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    expect(await keys.find('first', 'ES256')).toMatchObject({
      failure: { reason: 'issuer_keys_unavailable', retryAfterSeconds: 3 },
    });
    expect(problems).toEqual([problem]);
    expect(server.asked).toEqual(['/jwks']);
  });

  test('a server that drips forever is cut by the time-out of the whole exchange', async () => {
    server.answer('/jwks', (_request: unknown, response: Reply) => {
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    });
    expect(await outcome(keySet(byUrl(`${server.url}/jwks`)))).toBe('issuer_keys_unavailable');
  });

  test('nobody listens', async () => {
    await server.stop();
    expect(await outcome(keySet(byUrl(`${server.url}/jwks`)))).toBe('issuer_keys_unavailable');
    expect(problems).toEqual(['it cannot be fetched (ECONNREFUSED)']);
    server = await startKeyServer();
  });

  test.each([
    ['http://issuer.example/jwks', 'its address must be https (plain http only on loopback)'],
    ['http://127.0.0.1.example/jwks', 'its address must be https (plain http only on loopback)'],
    ['https://user:pass@issuer.example/jwks', 'its address holds a login'],
    ['file:///etc/keys', 'its address must be https (plain http only on loopback)'],
    ['issuer.example/jwks', 'its address is not a URL'],
  ])('%s is never asked', async (address, problem) => {
    expect(await outcome(keySet(byUrl(address)))).toBe('issuer_keys_unavailable');
    expect(problems).toEqual([problem]);
  });
});

describe('discovery', () => {
  const path = '/.well-known/openid-configuration';
  const discovered = () => oidc({ issuer: server.url, keys: { discovery: true } });

  test('leads from the issuer to its keys', async () => {
    server.answer(path, { issuer: server.url, jwks_uri: `${server.url}/jwks` });
    server.answer('/jwks', { keys: [first.jwk] });
    expect(await outcome(keySet(discovered()))).toBe('found');
    expect(server.asked).toEqual([path, '/jwks']);
  });

  test.each([
    [
      'names another issuer',
      { issuer: 'https://other.example', jwks_uri: 'x' },
      'the discovery document names another issuer than the catalogue',
    ],
    ['has no jwks_uri', {}, 'the discovery document has no jwks_uri'],
    [
      'sends us to plain http',
      { jwks_uri: 'http://issuer.example/jwks' },
      'its jwks_uri is not https',
    ],
    ['sends us to a file', { jwks_uri: 'file:///etc/passwd' }, 'its jwks_uri is not https'],
  ])('a document that %s is refused', async (_what, members, problem) => {
    server.answer(path, { issuer: server.url, ...members });
    expect(await outcome(keySet(discovered()))).toBe('issuer_keys_unavailable');
    expect(problems).toEqual([problem]);
  });

  test('shares one time-out with the fetch of the keys', async () => {
    const slowly = (body: object) => (_: unknown, r: Reply) =>
      void setTimeout(() => r.end(JSON.stringify(body)), 0.7 * TIMEOUT_MS);
    server.answer(path, slowly({ issuer: server.url, jwks_uri: `${server.url}/jwks` }));
    server.answer('/jwks', slowly({ keys: [first.jwk] }));
    expect(await outcome(keySet(discovered()))).toBe('issuer_keys_unavailable');
    expect(problems).toEqual([expect.stringContaining(TIMED_OUT)]);
  });

  test("an issuer's own slash at its end must be repeated to the character", async () => {
    server.answer(path, { issuer: server.url, jwks_uri: `${server.url}/jwks` });
    const slashed = oidc({ issuer: `${server.url}/`, keys: { discovery: true } });
    expect(await outcome(keySet(slashed))).toBe('issuer_keys_unavailable');
  });
});

describe('rotation and age', () => {
  test('a new key is picked up at the first token that names it', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    expect(await outcome(keys)).toBe('found');
    server.answer('/jwks', { keys: [second.jwk] });
    clock.advance(10_000);
    expect(await outcome(keys, 'second')).toBe('found');
    expect(await outcome(keys, 'first')).toBe('subject_token_key_unknown');
    expect(server.asked).toHaveLength(2);
  });

  test('a flood of unknown keys makes one fetch per cool-down', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    for (let second = 0; second < 30; second += 1) {
      const flood = Array.from({ length: 100 }, (_, i) => outcome(keys, `made-up-${second}-${i}`));
      expect(new Set(await Promise.all(flood))).toEqual(new Set(['subject_token_key_unknown']));
      clock.advance(1_000);
    }
    expect(server.asked).toHaveLength(3);
  });

  test('one unknown key asked for again and again makes one fetch a minute', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    for (let second = 0; second < 120; second += 1) {
      await outcome(keys, 'made-up');
      clock.advance(1_000);
    }
    expect(server.asked).toHaveLength(2);
  });

  test('a flood against a server that is down makes one fetch per pause', async () => {
    const keys = keySet(byUrl(`${server.url}/jwks`));
    for (let second = 0; second < 9; second += 1) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => outcome(keys, `made-up-${i}`)));
      clock.advance(1_000);
    }
    expect(server.asked).toHaveLength(3);
  });

  test('a key that its issuer withdrew stops verifying at the maximum age', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    await outcome(keys);
    server.answer('/jwks', { keys: [second.jwk] });
    clock.advance(239_999);
    expect(await outcome(keys)).toBe('found');
    clock.advance(60_001);
    expect(await outcome(keys)).toBe('subject_token_key_unknown');
  });

  test('a set in its last fifth is read again while tokens go on', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    await outcome(keys);
    clock.advance(240_000);
    server.answer('/jwks', () => undefined);
    expect(await outcome(keys)).toBe('found');
    while (server.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test('a new key that arrives while the keys are being read waits for them', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    await outcome(keys);
    clock.advance(240_000);
    server.answer('/jwks', (_: unknown, r: Reply) => {
      setTimeout(() => r.end(JSON.stringify({ keys: [second.jwk] })), 50);
    });
    expect(await outcome(keys)).toBe('found');
    expect(await outcome(keys, 'second')).toBe('found');
    expect(server.asked).toHaveLength(2);
  });

  test('a bundle may ask to be read again sooner', async () => {
    const bundle = (hint: number) => ({
      keys: [{ ...first.jwk, use: 'jwt-svid' }],
      spiffe_refresh_hint: hint,
    });
    server.answer('/bundle', bundle(60));
    const keys = keySet(spiffe({ keys: { bundle_url: `${server.url}/bundle` } }));
    await outcome(keys);
    server.answer('/bundle', bundle(1));
    clock.advance(60_000);
    await outcome(keys);
    clock.advance(20_000);
    await outcome(keys);
    expect(server.asked).toHaveLength(2);
    clock.advance(10_000);
    await outcome(keys);
    expect(server.asked).toHaveLength(3);
  });

  test('with the server down old keys serve an hour and no longer', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    await outcome(keys);
    server.answer('/jwks', (_: unknown, r: Reply) => r.writeHead(503).end());
    clock.advance(3_599_999);
    expect(await outcome(keys)).toBe('found');
    expect(await outcome(keys, 'second')).toBe('issuer_keys_unavailable');
    clock.advance(1);
    expect(await outcome(keys)).toBe('issuer_keys_unavailable');
    server.answer('/jwks', { keys: [first.jwk] });
    clock.advance(3_000);
    expect(await outcome(keys)).toBe('found');
  });

  test('a server that went silent costs the tokens of known keys one time-out, not one each', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    await outcome(keys);
    server.answer('/jwks', () => clock.advance(5_000));
    clock.advance(400_000);
    expect(await outcome(keys)).toBe('found');
    expect(problems).toEqual([TIMED_OUT]);
    expect(await outcome(keys)).toBe('found');
    expect(server.asked).toHaveLength(2);
    clock.advance(3_000);
    expect(await outcome(keys)).toBe('found');
    expect(problems).toHaveLength(1);
    expect(await outcome(keys, 'second')).toBe('issuer_keys_unavailable');
    expect(problems).toEqual([TIMED_OUT, TIMED_OUT]);
    expect(server.asked).toHaveLength(3);
  });

  test('an emptied set refuses every token', async () => {
    server.answer('/jwks', { keys: [first.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    await outcome(keys);
    server.answer('/jwks', { keys: [] });
    clock.advance(300_000);
    expect(await outcome(keys)).toBe('subject_token_key_unknown');
  });
});

describe('the key of a kid', () => {
  test.each([
    ['an algorithm of another curve', {}, 'ES384', 'subject_token_key_unknown'],
    ['an algorithm of another type', {}, 'RS256', 'subject_token_key_unknown'],
    [
      'another algorithm than the key names',
      { alg: 'ES384' },
      'ES256',
      'subject_token_key_unknown',
    ],
    ['the algorithm that the key names', { alg: 'ES256' }, 'ES256', 'found'],
    ['an algorithm that we never accept', {}, 'HS256', 'subject_token_key_unknown'],
    ['a point that is not on its curve', { x: 'AAAA' }, 'ES256', 'subject_token_key_unknown'],
  ])('%s', async (_what, members, algorithm, expected) => {
    server.answer('/jwks', { keys: [{ ...first.jwk, ...members }] });
    expect(await outcome(keySet(byUrl(`${server.url}/jwks`)), 'first', algorithm)).toBe(expected);
  });

  test('two fitting keys of one name are none', async () => {
    server.answer('/jwks', { keys: [first.jwk, { ...second.jwk, kid: 'first' }] });
    expect(await outcome(keySet(byUrl(`${server.url}/jwks`)))).toBe('subject_token_key_unknown');
  });

  test('of two keys of one name the fitting one is taken', async () => {
    const [rsa, p384] = await Promise.all([makeKey('first', 'RS256'), makeKey('first', 'ES384')]);
    server.answer('/jwks', { keys: [first.jwk, rsa.jwk, p384.jwk] });
    const keys = keySet(byUrl(`${server.url}/jwks`));
    expect(await outcome(keys)).toBe('found');
    expect(await outcome(keys, 'first', 'PS256')).toBe('found');
  });
});

describe('files', () => {
  const bundle = (key: SigningKey, sequence?: number) =>
    JSON.stringify({ keys: [{ ...key.jwk, use: 'jwt-svid' }], spiffe_sequence: sequence });
  const path = () => join(folder, 'bundle.json');
  const times = { ...TIMES, maxAgeMs: 1_000, coolDownMs: 1_000, retryMs: 1_000, missMs: 1_000 };

  test('a file that was swapped is read again within a second', async () => {
    writeFileSync(path(), bundle(first));
    const keys = keySet(spiffe(), times);
    expect(await outcome(keys)).toBe('found');
    writeFileSync(`${path()}.new`, bundle(second));
    renameSync(`${path()}.new`, path());
    clock.advance(1_000);
    expect(await outcome(keys)).toBe('subject_token_key_unknown');
    expect(await outcome(keys, 'second')).toBe('found');
  });

  test('a file that became rubbish leaves the old keys in force, and says so', async () => {
    writeFileSync(path(), bundle(first));
    const keys = keySet(spiffe(), times);
    await outcome(keys);
    writeFileSync(path(), '{"keys":');
    clock.advance(1_000);
    expect(await outcome(keys)).toBe('found');
    expect(problems).toEqual(['it is not a JSON object without repeated members']);
  });

  const lower = (sequence: number, held: number) =>
    expect.stringMatching(
      `^its spiffe_sequence ${sequence} is below ${held}, .* send the broker SIGHUP`,
    );

  test('a bundle whose sequence went backwards is not taken while the held keys are trusted', async () => {
    writeFileSync(path(), bundle(second, 8));
    const keys = keySet(spiffe(), { ...times, staleMs: 5_000 });
    await outcome(keys, 'second');
    writeFileSync(path(), bundle(first, 7));
    for (let pass = 0; pass < 4; pass += 1) {
      clock.advance(1_000);
      expect(await outcome(keys, 'second')).toBe('found');
    }
    expect(problems).toEqual(Array(4).fill(lower(7, 8)));
    clock.advance(1_000);
    expect(await outcome(keys, 'second')).toBe('subject_token_key_unknown');
    expect(await outcome(keys, 'first')).toBe('found');
  });

  test('the bundle after a sequence was forgotten is taken, whatever its own', async () => {
    writeFileSync(path(), bundle(second, 9e15));
    const keys = keySet(spiffe(), times);
    await outcome(keys, 'second');
    writeFileSync(path(), bundle(first, 7));
    clock.advance(1_000);
    expect(await outcome(keys, 'first')).toBe('issuer_keys_unavailable');
    keys.forgetSequence();
    clock.advance(1_000);
    expect(await outcome(keys, 'first')).toBe('found');
    writeFileSync(path(), bundle(second, 6));
    clock.advance(1_000);
    expect(await outcome(keys, 'first')).toBe('found');
    expect(problems).toEqual([lower(7, 9e15), lower(6, 7)]);
  });

  test('a sequence that was forgotten counts again once the file was seen unchanged', async () => {
    writeFileSync(path(), bundle(second, 8));
    const keys = keySet(spiffe(), times);
    await outcome(keys, 'second');
    keys.forgetSequence();
    clock.advance(1_000);
    await outcome(keys, 'second');
    writeFileSync(path(), bundle(first, 7));
    clock.advance(1_000);
    expect(await outcome(keys, 'second')).toBe('found');
    expect(problems).toEqual([lower(7, 8)]);
  });

  test('a file that does not change keeps its keys trusted for as long as it is there', async () => {
    writeFileSync(path(), bundle(first));
    utimesSync(path(), 1_700_000_000, 1_700_000_000);
    const keys = keySet(spiffe(), times);
    for (let hours = 0; hours < 5; hours += 1) {
      expect(await outcome(keys)).toBe('found');
      clock.advance(3_600_000);
    }
    expect(readings).toBe(1);
  });

  test.each([
    ['is missing', () => undefined, /cannot be read \(ENOENT\)/],
    [
      'is too large',
      () => writeFileSync(path(), ' '.repeat(BYTES_MAX + 1)),
      /larger than 4096 bytes/,
    ],
  ])('a file that %s leaves the keys unavailable', async (_what, prepare, problem) => {
    prepare();
    expect(await outcome(keySet(spiffe(), times))).toBe('issuer_keys_unavailable');
    expect(problems).toEqual([expect.stringMatching(problem)]);
  });
});

describe('own certificates', () => {
  let secure: KeyServer;
  beforeEach(async () => {
    const { key, cert } = selfSigned();
    writeFileSync(join(folder, 'ca.pem'), cert);
    secure = await startKeyServer(createServer({ key, cert }));
    secure.answer('/jwks', { keys: [first.jwk] });
  });
  afterEach(() => secure.stop());

  const withCa = (file: string | undefined) =>
    oidc({ keys: { jwks_url: `${secure.url}/jwks` }, ...(file ? { ca_file: file } : {}) });

  test('a CA file makes its servers trusted', async () => {
    expect(await outcome(keySet(withCa('ca.pem')))).toBe('found');
  });

  test('without it they are not', async () => {
    expect(await outcome(keySet(withCa(undefined)))).toBe('issuer_keys_unavailable');
    expect(problems).toEqual(['it cannot be fetched (DEPTH_ZERO_SELF_SIGNED_CERT)']);
  });

  test.each(['other.pem', 'rubbish.pem', 'missing.pem'])('%s trusts nobody', async (file) => {
    writeFileSync(join(folder, 'other.pem'), selfSigned().cert);
    writeFileSync(
      join(folder, 'rubbish.pem'),
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    );
    expect(await outcome(keySet(withCa(file)))).toBe('issuer_keys_unavailable');
  });
});
