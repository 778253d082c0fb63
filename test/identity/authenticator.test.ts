import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { SignJWT } from 'jose';
import type { Agent } from '../../src/catalogue/agent.ts';
import type { Issuer } from '../../src/catalogue/issuer.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { Authenticator } from '../../src/identity/authenticator.ts';
import { createAuthenticator } from '../../src/identity/create-authenticator.ts';
import { agent, catalogueOf, oidc, spiffe } from './support/catalogue.ts';
import { startKeyServer } from './support/key-server.ts';
import type { KeyServer } from './support/key-server.ts';
import { START_S, testClock } from './support/test-clock.ts';
import {
  PUBLIC_URL,
  SUBJECT,
  encode,
  forge,
  forgeHmac,
  goodClaims,
  makeKey,
  sign,
} from './support/tokens.ts';
import type { SigningKey } from './support/tokens.ts';

let server: KeyServer;
let folder: string;
let key: SigningKey;
let otherKey: SigningKey;
let svidKey: SigningKey;
let clock: ReturnType<typeof testClock>;
let catalogue: ReturnType<typeof catalogueOf>;
let authenticator: Authenticator;

const iss = () => `${server.url}/demo`;
const otherIss = () => `${server.url}/other`;

function issuers(): Issuer[] {
  const workloads = oidc({ issuer: iss(), keys: { jwks_url: `${iss()}/jwks` } });
  return [
    workloads,
    oidc({ ...workloads, name: 'people', use: 'operator' }),
    oidc({ name: 'other', issuer: otherIss(), keys: { jwks_url: `${otherIss()}/jwks` } }),
    spiffe(),
  ];
}

const AGENTS: Agent[] = [
  agent('invoice-reconciler'),
  agent('report-writer', { issuer: 'spire', subject: 'spiffe://demo.example/agent/report-writer' }),
];

beforeAll(async () => {
  server = await startKeyServer();
  folder = mkdtempSync(join(tmpdir(), 'mayfly-identity-'));
  [key, otherKey, svidKey] = await Promise.all([
    makeKey('k1'),
    makeKey('k1'),
    makeKey('svid-1', 'RS256'),
  ]);
  server.answer('/demo/jwks', { keys: [key.jwk] });
  server.answer('/other/jwks', { keys: [otherKey.jwk] });
  const bundle = {
    keys: [
      { ...otherKey.jwk, kid: 'x509', use: 'x509-svid' },
      { ...svidKey.jwk, use: 'jwt-svid' },
    ],
    spiffe_sequence: 1,
  };
  writeFileSync(join(folder, 'bundle.json'), JSON.stringify(bundle));
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  server.asked.length = 0;
  clock = testClock();
  catalogue = catalogueOf(issuers(), AGENTS);
  authenticator = createAuthenticator({
    catalogue: { current: () => catalogue },
    publicUrl: PUBLIC_URL,
    clock,
    baseFolder: folder,
  });
});

async function asAgent(token: SecretText): Promise<string> {
  const result = await authenticator.agent(token);
  return result.ok ? result.value.agent.id : result.failure.reason;
}

const good = (changes = {}) => sign(key, goodClaims(iss(), changes));
const svid = (changes = {}) =>
  sign(
    svidKey,
    goodClaims('unused', {
      iss: undefined,
      iat: undefined,
      sub: 'spiffe://demo.example/agent/report-writer',
      ...changes,
    }),
  );

describe('a workload token', () => {
  test('becomes its agent, with only a hash of the token kept', async () => {
    const token = await good();
    const result = await authenticator.agent(token);
    expect(result).toMatchObject({
      ok: true,
      value: {
        kind: 'agent',
        agent: { id: 'invoice-reconciler' },
        instance: SUBJECT,
        token: {
          issuer: 'demo',
          use: 'workload',
          subject: SUBJECT,
          expiresAt: new Date((START_S + 300) * 1000),
          sha256: token.sha256().toString('hex'),
        },
      },
    });
    expect(JSON.stringify(result)).not.toContain(token.reveal().split('.')[2]);
  });

  test('from SPIRE needs neither iss nor iat, and an iss means nothing', async () => {
    expect(await asAgent(await svid())).toBe('report-writer');
    expect(await asAgent(await svid({ iss: 'https://spire.example' }))).toBe('report-writer');
  });

  test('the same SVID a thousand times is the same agent a thousand times', async () => {
    const token = await svid();
    const outcomes = new Set<string>();
    for (let i = 0; i < 1000; i += 1) outcomes.add(await asAgent(token));
    expect([...outcomes]).toEqual(['report-writer']);
  });

  test.each(['ES256', 'ES384', 'ES512', 'RS256', 'PS256', 'PS512', 'EdDSA', 'Ed25519'])(
    'may be signed with %s',
    async (alg) => {
      const own = await makeKey(`key-${alg}`, alg);
      server.answer('/demo/jwks', { keys: [own.jwk] });
      const issuer = oidc({
        issuer: iss(),
        keys: { jwks_url: `${iss()}/jwks` },
        algorithms: [alg],
      });
      catalogue = catalogueOf([issuer], AGENTS);
      expect(await asAgent(await sign(own, goodClaims(iss())))).toBe('invoice-reconciler');
      server.answer('/demo/jwks', { keys: [key.jwk] });
    },
  );
});

describe('is refused', () => {
  const hours = 3600;
  const cases: [string, () => Promise<SecretText> | SecretText, string][] = [
    ['expired', () => good({ exp: START_S - 5 }), 'subject_token_expired'],
    ['expired by an hour', () => good({ exp: START_S - hours }), 'subject_token_expired'],
    ['not yet valid', () => good({ nbf: START_S + 6 }), 'subject_token_not_yet_valid'],
    ['issued in the future', () => good({ iat: START_S + 60 }), 'subject_token_not_yet_valid'],
    ['without exp', () => good({ exp: undefined }), 'subject_token_claims'],
    ['with exp as text', () => good({ exp: `${START_S + 300}` }), 'subject_token_claims'],
    ['without sub', () => good({ sub: undefined }), 'subject_token_claims'],
    [
      'for another audience',
      () => good({ aud: 'https://other.example' }),
      'subject_token_audience',
    ],
    ['for two audiences', () => good({ aud: [PUBLIC_URL, 'x'] }), 'subject_token_audience'],
    ['for no audience', () => good({ aud: undefined }), 'subject_token_audience'],
    [
      "for the operators' audience",
      () => good({ aud: `${PUBLIC_URL}/operators` }),
      'subject_token_audience',
    ],
    [
      'from an unknown issuer',
      () => good({ iss: 'https://evil.example', sub: 'a' }),
      'unknown_issuer',
    ],
    [
      'from an issuer in capitals',
      () => good({ iss: iss().toUpperCase(), sub: 'a' }),
      'unknown_issuer',
    ],
    [
      'from an issuer with a slash more',
      () => good({ iss: `${iss()}/`, sub: 'a' }),
      'unknown_issuer',
    ],
    ['from no issuer', () => good({ iss: undefined, sub: 'a' }), 'unknown_issuer'],
    ['with may_act', () => good({ may_act: { sub: 'x' } }), 'subject_token_delegated'],
    ['with act', () => good({ act: { sub: 'x' } }), 'subject_token_delegated'],
    ['of nobody', () => good({ sub: 'spiffe://demo.example/agent/stranger' }), 'unmapped_identity'],
    [
      'with an unknown kid',
      () => sign({ ...key, kid: 'k2' }, goodClaims(iss())),
      'subject_token_key_unknown',
    ],
    [
      'without kid',
      () => sign(key, goodClaims(iss()), { kid: undefined }),
      'subject_token_key_unknown',
    ],
    [
      'with a path for a kid',
      () => sign(key, goodClaims(iss()), { kid: '../../etc/passwd' }),
      'subject_token_key_unknown',
    ],
    ['signed by another key', () => sign(otherKey, goodClaims(iss())), 'subject_token_signature'],
    [
      'with a wrong typ',
      () => sign(key, goodClaims(iss()), { typ: 'at+jwt' }),
      'subject_token_type',
    ],
    [
      'unsigned',
      () => forge({ alg: 'none', kid: 'k1' }, goodClaims(iss()), ''),
      'subject_token_algorithm',
    ],
    [
      'unsigned, spelt nOnE',
      () => forge({ alg: 'nOnE', kid: 'k1' }, goodClaims(iss()), ''),
      'subject_token_algorithm',
    ],
    [
      'with an empty signature',
      () => forge({ alg: 'ES256', kid: 'k1', typ: 'JWT' }, goodClaims(iss()), ''),
      'subject_token_signature',
    ],
    [
      'with an algorithm not of the issuer',
      () => forge({ alg: 'PS256', kid: 'k1' }, goodClaims(iss())),
      'subject_token_algorithm',
    ],
    [
      'with repeated header members',
      () => forge('{"alg":"none","alg":"ES256","kid":"k1"}', goodClaims(iss())),
      'subject_token_malformed',
    ],
    ['too long', () => good({ padding: 'x'.repeat(16_384) }), 'subject_token_too_large'],
    ['empty', () => new SecretText(''), 'subject_token_malformed'],
    ['no token at all', () => new SecretText('hunter2'), 'subject_token_malformed'],
  ];
  test.each(cases)('a token %s', async (_what, make, reason) => {
    expect(await asAgent(await make())).toBe(reason);
  });

  test('HMAC with the public key as its secret, in every form of the key', async () => {
    const pem = createPublicKey({ key: key.jwk as never, format: 'jwk' });
    const secrets = [
      pem.export({ type: 'spki', format: 'pem' }).toString(),
      JSON.stringify(key.jwk),
      String(key.jwk.x),
    ];
    for (const secret of secrets) {
      expect(await asAgent(forgeHmac(key, goodClaims(iss()), secret))).toBe(
        'subject_token_algorithm',
      );
    }
  });

  test('a token that brings its own key', async () => {
    const own = { jwk: otherKey.jwk };
    expect(await asAgent(await sign(otherKey, goodClaims(iss()), own))).toBe(
      'subject_token_malformed',
    );
    const url = { jku: `${otherIss()}/jwks` };
    expect(await asAgent(await sign(otherKey, goodClaims(iss()), url))).toBe(
      'subject_token_malformed',
    );
    expect(server.asked).toEqual([]);
  });

  test("a token signed with another issuer's key, even one of the same kid", async () => {
    expect(await asAgent(await sign(otherKey, goodClaims(otherIss())))).toBe('unmapped_identity');
    expect(await asAgent(await sign(otherKey, goodClaims(iss())))).toBe('subject_token_signature');
    expect(await asAgent(await sign(svidKey, goodClaims(iss()), { kid: 'k1' }))).toBe(
      'subject_token_key_unknown',
    );
  });

  test("an SVID signed with its bundle's X.509 key", async () => {
    const forged = await sign(
      { ...otherKey, kid: 'x509' },
      goodClaims('x', { sub: SUBJECT, iss: undefined }),
    );
    expect(await asAgent(forged)).toBe('subject_token_key_unknown');
  });

  test('an SVID of another trust domain', async () => {
    const federated = await svid({ sub: 'spiffe://other.example/agent/report-writer' });
    expect(await asAgent(federated)).toBe('unknown_issuer');
  });

  test('a token whose content was changed after it was signed', async () => {
    const token = await good();
    const [header, , signature] = token.reveal().split('.');
    const claims = encode(goodClaims(iss(), { exp: START_S + 9999 }));
    expect(await asAgent(new SecretText(`${header}.${claims}.${signature}`))).toBe(
      'subject_token_signature',
    );
  });

  test('an unknown issuer before anything is fetched', async () => {
    await asAgent(await good({ iss: 'https://evil.example', sub: 'a' }));
    expect(server.asked).toEqual([]);
  });

  test('with words that repeat nothing of the token', async () => {
    const marked = { sub: 'CANARY-sub', iss: 'CANARY-iss', aud: 'CANARY-aud', act: 'CANARY-act' };
    const header = { typ: 'CANARY-typ', kid: 'CANARY-kid' };
    const tokens = [
      ...Object.entries(marked).map(([name, value]) => good({ [name]: value })),
      ...Object.entries(header).map(([name, value]) =>
        sign(key, goodClaims(iss()), { [name]: value }),
      ),
    ];
    for (const token of tokens) {
      const result = await authenticator.agent(await token);
      expect(result.ok).toBe(false);
      expect(JSON.stringify(result)).not.toContain('CANARY');
    }
  });
});

describe('clocks that differ', () => {
  // Seconds by which our clock is ahead of the issuer's, the leeway, what comes of a 30 s token.
  test.each([
    [5, 5, 'invoice-reconciler'],
    [-5, 5, 'invoice-reconciler'],
    [60, 5, 'subject_token_expired'],
    [-60, 5, 'subject_token_not_yet_valid'],
    [60, 30, 'subject_token_expired'],
    [-60, 30, 'subject_token_not_yet_valid'],
    [300, 30, 'subject_token_expired'],
    [-300, 30, 'subject_token_not_yet_valid'],
    [34, 5, 'invoice-reconciler'],
    [35, 5, 'subject_token_expired'],
  ])('by %d s, with a leeway of %d s', async (ahead, leeway, expected) => {
    const [workloads] = issuers();
    catalogue = catalogueOf([oidc({ ...workloads, leeway_seconds: leeway })], AGENTS);
    const issuedAt = START_S - ahead;
    const token = await good({ iat: issuedAt, nbf: issuedAt, exp: issuedAt + 30 });
    expect(await asAgent(token)).toBe(expected);
  });
});

describe('two entries for one issuer', () => {
  test('share its keys, and each use takes its own audience', async () => {
    const person = { sub: 'u-1', aud: `${PUBLIC_URL}/operators`, groups: ['staff'] };
    expect(await authenticator.operator(await good(person))).toMatchObject({
      ok: true,
      value: { name: 'people|u-1', token: { use: 'operator' } },
    });
    expect(await asAgent(await good())).toBe('invoice-reconciler');
    expect(server.asked).toEqual(['/demo/jwks']);
  });

  test("an agent's token opens nothing to operators, nor the other way round", async () => {
    expect(await authenticator.operator(await good({ groups: ['staff'] }))).toMatchObject({
      failure: { reason: 'subject_token_audience' },
    });
    const person = await good({ sub: SUBJECT, aud: `${PUBLIC_URL}/operators` });
    expect(await asAgent(person)).toBe('subject_token_audience');
  });

  test('an operator without a binding has no permission, and one who delegates is refused', async () => {
    const person = { sub: 'u-1', aud: `${PUBLIC_URL}/operators` };
    expect(await authenticator.operator(await good(person))).toMatchObject({
      failure: { reason: 'permission_missing' },
    });
    const delegated = { ...person, groups: ['staff'], act: { sub: 'agent' } };
    expect(await authenticator.operator(await good(delegated))).toMatchObject({
      failure: { reason: 'subject_token_delegated' },
    });
  });

  test('with one use and two audiences each takes its own', async () => {
    const [workloads] = issuers();
    catalogue = catalogueOf(
      [
        oidc({ ...workloads, name: 'elsewhere', audience: 'https://second.example' }),
        oidc({ ...workloads }),
      ],
      [agent('first'), agent('second', { issuer: 'elsewhere' })],
    );
    expect(await asAgent(await good())).toBe('first');
    expect(await asAgent(await good({ aud: 'https://second.example' }))).toBe('second');
    expect(await asAgent(await good({ aud: 'https://third.example' }))).toBe(
      'subject_token_audience',
    );
  });
});

describe('a new catalogue', () => {
  test('is followed at the next call, and keys are kept where their issuer stays the same', async () => {
    expect(await asAgent(await good())).toBe('invoice-reconciler');
    catalogue = catalogueOf(issuers(), [agent('renamed')]);
    expect(await asAgent(await good())).toBe('renamed');
    expect(server.asked).toEqual(['/demo/jwks']);
    catalogue = catalogueOf([], [agent('renamed')]);
    expect(await asAgent(await good())).toBe('unknown_issuer');
  });

  test('with the same issuers takes the next bundle whatever its sequence', async () => {
    const write = (signer: SigningKey, sequence: number) => {
      const keys = [{ ...signer.jwk, use: 'jwt-svid' }];
      writeFileSync(
        join(folder, 'restored.json'),
        JSON.stringify({ keys, spiffe_sequence: sequence }),
      );
    };
    const reloaded = () =>
      catalogueOf(
        [spiffe({ keys: { bundle_file: 'restored.json' } })],
        [agent('one', { issuer: 'spire' })],
      );
    const token = await sign(key, goodClaims('x', { iss: undefined }));
    catalogue = reloaded();
    write(otherKey, 9e15);
    expect(await asAgent(token)).toBe('subject_token_signature');
    write(key, 7);
    clock.advance(1_000);
    expect(await asAgent(token)).toBe('subject_token_signature');
    catalogue = reloaded();
    clock.advance(1_000);
    expect(await asAgent(token)).toBe('one');
  });

  test('that moves the keys of an issuer leaves the old ones behind', async () => {
    expect(await asAgent(await good())).toBe('invoice-reconciler');
    const moved = oidc({ issuer: iss(), keys: { jwks_url: `${otherIss()}/jwks` } });
    catalogue = catalogueOf([moved], AGENTS);
    expect(await asAgent(await good())).toBe('subject_token_signature');
    expect(await asAgent(await sign(otherKey, goodClaims(iss())))).toBe('invoice-reconciler');
  });
});

describe('without other bounds', () => {
  const bundle = () => join(folder, 'swapped.json');
  const write = (signer: SigningKey) =>
    writeFileSync(bundle(), JSON.stringify({ keys: [{ ...signer.jwk, use: 'jwt-svid' }] }));
  const bySpiffe = (signer: SigningKey) =>
    sign(signer, goodClaims('x', { iss: undefined, exp: START_S + 200_000 }));

  beforeEach(() => {
    write(key);
    catalogue = catalogueOf(
      [spiffe({ keys: { bundle_file: 'swapped.json' } })],
      [agent('one', { issuer: 'spire' })],
    );
  });

  test('a bundle file that was swapped is in force after a second', async () => {
    expect(await asAgent(await bySpiffe(key))).toBe('one');
    write(otherKey);
    clock.advance(999);
    expect(await asAgent(await bySpiffe(otherKey))).toBe('subject_token_signature');
    clock.advance(1);
    expect(await asAgent(await bySpiffe(otherKey))).toBe('one');
  });

  test('keys of a bundle that is gone serve a day, those of an OpenID issuer an hour', async () => {
    expect(await asAgent(await bySpiffe(key))).toBe('one');
    rmSync(bundle());
    clock.advance(86_399_999);
    expect(await asAgent(await bySpiffe(key))).toBe('one');
    clock.advance(1);
    expect(await asAgent(await bySpiffe(key))).toBe('issuer_keys_unavailable');
    catalogue = catalogueOf(issuers(), AGENTS);
    const late = await good({ exp: START_S + 200_000 });
    expect(await asAgent(late)).toBe('invoice-reconciler');
    server.answer('/demo/jwks', 'gone');
    clock.advance(3_599_999);
    expect(await asAgent(late)).toBe('invoice-reconciler');
    clock.advance(1);
    expect(await asAgent(late)).toBe('issuer_keys_unavailable');
    server.answer('/demo/jwks', { keys: [key.jwk] });
  });

  test('an issuer that gets a CA file is asked again with it', async () => {
    const definition = { issuer: iss(), keys: { jwks_url: `${iss()}/jwks` } };
    catalogue = catalogueOf([oidc(definition)], AGENTS);
    expect(await asAgent(await good())).toBe('invoice-reconciler');
    catalogue = catalogueOf([oidc({ ...definition, ca_file: 'missing.pem' })], AGENTS);
    expect(await asAgent(await good())).toBe('issuer_keys_unavailable');
  });
});

test('a signer that uses its own serialisation of the same claims is understood', async () => {
  const token = await new SignJWT({
    aud: [PUBLIC_URL],
    sub: SUBJECT,
    iss: iss(),
    exp: START_S + 60,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .sign(key.privateKey);
  expect(await asAgent(new SecretText(token))).toBe('invoice-reconciler');
});
