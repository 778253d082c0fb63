import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  loadAdministrationSettings,
  loadCatalogueSettings,
  loadMigrationSettings,
  loadSettings,
} from '../../src/settings/load-settings.ts';

const LEDGER = 'postgresql://app:s3cret-word@127.0.0.1:5432/mayfly';

let folder: string;
let complete: Record<string, string>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mayfly-settings-'));
  mkdirSync(join(folder, 'config'));
  complete = {
    MAYFLY_PUBLIC_URL: 'https://mayfly.example',
    MAYFLY_CONFIG_DIR: join(folder, 'config'),
    MAYFLY_LEDGER_URL: LEDGER,
    MAYFLY_BACKEND_URL: 'https://bao.example:8200',
    MAYFLY_MINTER_ROLE_ID_FILE: file('minter-role-id', 'r'),
    MAYFLY_MINTER_SECRET_ID_FILE: file('minter-secret-id', 's'),
    MAYFLY_REAPER_LOGIN: 'token_file',
    MAYFLY_REAPER_TOKEN_FILE: file('reaper-token', 't'),
  };
});

afterEach(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** `NAME problem` of each problem, for a complete environment with changes; undefined takes away. */
function problems(changes: Record<string, string | undefined> = {}): string[] {
  const loaded = loadSettings({ ...complete, ...changes });
  return loaded.ok ? [] : loaded.failure.map(({ name, problem }) => `${name} ${problem}`);
}

function load(changes: Record<string, string | undefined> = {}) {
  const loaded = loadSettings({ ...complete, ...changes });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.failure));
  return loaded.value;
}

describe('faults for tests of crashes', () => {
  const alone = {
    MAYFLY_PUBLIC_URL: 'http://127.0.0.1:8080',
    MAYFLY_BACKEND_URL: 'http://127.0.0.1:8200',
    MAYFLY_TEST_FAIL_POINTS: 'exchange.open_lease.after@2:kill',
    MAYFLY_ALLOW_FAULTS: 'yes-this-is-a-test',
  };

  test('are taken where both settings are there, on loopback', () => {
    const faults = load(alone).settings.faults;
    expect(faults).toMatchObject([{ point: 'exchange.open_lease.after', nth: 2, action: 'kill' }]);
  });

  test('are refused without the second setting', () => {
    expect(problems({ ...alone, MAYFLY_ALLOW_FAULTS: undefined })).toEqual([
      'MAYFLY_TEST_FAIL_POINTS is set, but MAYFLY_ALLOW_FAULTS is not',
    ]);
  });

  test.each([
    { MAYFLY_PUBLIC_URL: 'https://mayfly.example' },
    { MAYFLY_LISTEN_HOST: '0.0.0.0' },
    { MAYFLY_BACKEND_URL: 'https://bao.example:8200' },
  ])('are refused by a broker that others can reach: %j', (reachable) => {
    const refusal = 'is set, but this broker, or its OpenBao, is not on loopback by plain http';
    expect(problems({ ...alone, ...reachable })).toEqual([`MAYFLY_TEST_FAIL_POINTS ${refusal}`]);
    const allowed = { ...alone, ...reachable, MAYFLY_TEST_FAIL_POINTS: undefined };
    expect(problems(allowed)).toEqual([`MAYFLY_ALLOW_FAULTS ${refusal}`]);
  });
});

describe('the settings of a broker', () => {
  test('are read, with defaults for what may be left out', () => {
    const { settings, secrets } = load();
    expect(settings).toEqual({
      publicUrl: 'https://mayfly.example',
      configFolder: join(folder, 'config'),
      addresses: new Map(),
      listen: { host: '127.0.0.1', port: 8080, tls: undefined, trustedProxies: 0 },
      ledger: { caFile: undefined, pool: 10, migrateOnStart: false },
      backend: {
        address: 'https://bao.example:8200',
        caFile: undefined,
        namespace: undefined,
        minter: {
          kind: 'approle',
          roleIdFile: complete['MAYFLY_MINTER_ROLE_ID_FILE'],
          secretIdFile: complete['MAYFLY_MINTER_SECRET_ID_FILE'],
        },
        reaper: { kind: 'token_file', file: complete['MAYFLY_REAPER_TOKEN_FILE'] },
      },
      logLevel: 'info',
      sweep: true,
      observe: false,
      faults: [],
    });
    expect(secrets.ledgerUrl.reveal()).toBe(LEDGER);
    expect(secrets.ledgerOwnerUrl).toBeUndefined();
  });

  test('every missing or wrong one is reported at once, each with a remedy', () => {
    const loaded = loadSettings({
      MAYFLY_CONFIG_DIR: join(folder, 'nowhere'),
      MAYFLY_LISTEN_PORT: '80800',
      MAYFLY_SWEEP: 'yes',
      MAYFLY_TLS_CERT_FILE: join(folder, 'nowhere.pem'),
      MAYFLY_LSTEN_HOST: '0.0.0.0',
      MAYFLY_REAPER_LOGIN: 'kerberos',
    });
    expect(loaded.ok).toBe(false);
    if (loaded.ok) return;
    expect(loaded.failure.map(({ name, problem }) => `${name} ${problem}`).sort()).toEqual([
      'MAYFLY_BACKEND_URL is not set',
      'MAYFLY_CONFIG_DIR names a folder that is not there',
      'MAYFLY_LEDGER_URL is not set',
      'MAYFLY_LISTEN_PORT must be a whole number from 0 to 65535',
      'MAYFLY_LSTEN_HOST is not a setting',
      'MAYFLY_MINTER_ROLE_ID_FILE is not set',
      'MAYFLY_MINTER_SECRET_ID_FILE is not set',
      'MAYFLY_PUBLIC_URL is not set',
      'MAYFLY_REAPER_LOGIN must be one of approle, jwt, token_file',
      'MAYFLY_SWEEP must be on or off',
      'MAYFLY_TLS_CERT_FILE names a file that cannot be read',
    ]);
    for (const { remedy } of loaded.failure) expect(remedy).toMatch(/^[A-Z].*\.$/);
  });

  test.each([
    ['MAYFLY_PUBLIC_URL', 'mayfly.example', 'is not a URL'],
    ['MAYFLY_PUBLIC_URL', 'http://mayfly.example', 'must be https (plain http only on loopback)'],
    [
      'MAYFLY_PUBLIC_URL',
      'https://Mayfly.example',
      'is not in normal form: scheme, host, port, path',
    ],
    [
      'MAYFLY_PUBLIC_URL',
      'https://mayfly.example:443',
      'is not in normal form: scheme, host, port, path',
    ],
    [
      'MAYFLY_PUBLIC_URL',
      'https://mayfly.example/?a=1',
      'is not in normal form: scheme, host, port, path',
    ],
    [
      'MAYFLY_PUBLIC_URL',
      'https://a:b@mayfly.example',
      'is not in normal form: scheme, host, port, path',
    ],
    ['MAYFLY_BACKEND_URL', 'http://bao:8200', 'must be https (plain http only on loopback)'],
    ['MAYFLY_LISTEN_HOST', 'a b', 'must be 1 to 255 visible ASCII characters'],
    ['MAYFLY_LISTEN_PORT', '8e3', 'must be a whole number from 0 to 65535'],
    ['MAYFLY_LISTEN_PORT', '-1', 'must be a whole number from 0 to 65535'],
    ['MAYFLY_LEDGER_POOL', '1', 'must be a whole number from 2 to 200'],
    ['MAYFLY_LEDGER_URL', 'mysql://a:b@h/d', 'is not a URL that begins with postgresql://'],
    ['MAYFLY_LEDGER_URL', 'postgresql://127.0.0.1/mayfly', 'names no user or no database'],
    ['MAYFLY_LEDGER_URL', 'postgresql://app@127.0.0.1', 'names no user or no database'],
    [
      'MAYFLY_LEDGER_URL',
      'postgresql://app@127.0.0.1:1,::/d',
      'is not a URL that begins with postgresql://',
    ],
    [
      'MAYFLY_LEDGER_URL',
      'postgresql://app@127.0.0.1/d?target_session_attrs=any',
      'may say target_session_attrs=read-write only: the ledger is always the primary',
    ],
    [
      'MAYFLY_LEDGER_URL',
      'postgresql://app@127.0.0.1/d?connect_timeout=3',
      'may have no options but sslmode, host, target_session_attrs',
    ],
    [
      'MAYFLY_LEDGER_URL',
      'postgresql://app@127.0.0.1/d?sslmode=prefer',
      'may say sslmode=disable or sslmode=verify-full: others check nobody',
    ],
    ['MAYFLY_LOG_LEVEL', 'INFO', 'must be one of debug, info, warn, error, silent'],
    ['MAYFLY_MIGRATE_ON_START', 'TRUE', 'must be true or false'],
    ['MAYFLY_TRUST_PROXY', 'loopback', 'must be a whole number from 0 to 8'],
    ['MAYFLY_BACKEND_CA_FILE', '/', 'names something that is not a file'],
    ['MAYFLY_ADDRESS_X', 'two words', 'must be 1 to 2048 visible ASCII characters'],
  ])('%s=%s %s', (name, value, problem) => {
    expect(problems({ [name]: value })).toEqual([`${name} ${problem}`]);
  });

  test.each([
    'https://mayfly.example/',
    'https://mayfly.example/broker/',
    'http://127.0.0.1:8080',
    'http://[::1]:1',
  ])('the public URL may be %s, and loses its last slash', (url) => {
    expect(load({ MAYFLY_PUBLIC_URL: url }).settings.publicUrl).toBe(url.replace(/\/$/, ''));
  });

  test('an empty value counts as not set', () => {
    expect(problems({ MAYFLY_LISTEN_PORT: '', MAYFLY_BACKEND_CA_FILE: '' })).toEqual([]);
    expect(problems({ MAYFLY_PUBLIC_URL: '' })).toEqual(['MAYFLY_PUBLIC_URL is not set']);
  });

  test('a certificate needs its key and a key its certificate', () => {
    const [cert, key] = [file('cert.pem', 'c'), file('key.pem', 'k')];
    expect(problems({ MAYFLY_TLS_CERT_FILE: cert })).toEqual([
      'MAYFLY_TLS_KEY_FILE is not set, but MAYFLY_TLS_CERT_FILE is',
    ]);
    expect(problems({ MAYFLY_TLS_KEY_FILE: key })).toEqual([
      'MAYFLY_TLS_CERT_FILE is not set, but MAYFLY_TLS_KEY_FILE is',
    ]);
    const { settings } = load({ MAYFLY_TLS_CERT_FILE: cert, MAYFLY_TLS_KEY_FILE: key });
    expect(settings.listen.tls).toEqual({ certFile: cert, keyFile: key });
  });

  test('the sweep can be turned off', () => {
    expect(load({ MAYFLY_SWEEP: 'off' }).settings.sweep).toBe(false);
  });
});

describe('secrets', () => {
  test('are kept apart, and nothing prints them', () => {
    const named = {
      MAYFLY_SECRET_GUARD: 'guard-word',
      MAYFLY_SECRET_PROVER_FILE: file('p', 'prover-word\n'),
    };
    const { settings, secrets } = load(named);
    expect(secrets.named.get('GUARD')?.reveal()).toBe('guard-word');
    expect(secrets.named.get('PROVER')?.reveal()).toBe('prover-word');
    const printed =
      inspect({ settings, secrets }, { depth: 9 }) + JSON.stringify({ settings, secrets });
    for (const word of ['guard-word', 'prover-word', 's3cret-word'])
      expect(printed).not.toContain(word);
  });

  test('lose the line end of their file and nothing else', () => {
    const { secrets } = load({
      MAYFLY_SECRET_A_FILE: file('a', ' word \r\n'),
      MAYFLY_SECRET_B_FILE: file('b', 'word\n\n'),
    });
    expect(secrets.named.get('A')?.reveal()).toBe(' word ');
    expect(secrets.named.get('B')?.reveal()).toBe('word\n');
  });

  test('given twice are a problem', () => {
    expect(problems({ MAYFLY_LEDGER_URL_FILE: file('l', LEDGER) })).toEqual([
      'MAYFLY_LEDGER_URL is set twice: also as MAYFLY_LEDGER_URL_FILE',
    ]);
    expect(problems({ MAYFLY_SECRET_A: 'x', MAYFLY_SECRET_A_FILE: file('a', 'x') })).toEqual([
      'MAYFLY_SECRET_A is set twice: also as MAYFLY_SECRET_A_FILE',
    ]);
  });

  test('may come from a file, which must be there and hold one', () => {
    const from = (path: string) =>
      problems({ MAYFLY_LEDGER_URL: undefined, MAYFLY_LEDGER_URL_FILE: path });
    expect(from(file('ledger', `${LEDGER}\n`))).toEqual([]);
    expect(from(file('empty', '\n'))).toEqual(['MAYFLY_LEDGER_URL is given by an empty file']);
    expect(from(join(folder, 'nowhere'))).toEqual([
      'MAYFLY_LEDGER_URL is given by a file that cannot be read',
    ]);
    expect(from(file('large', 'x'.repeat(65_537)))).toEqual([
      'MAYFLY_LEDGER_URL is given by a file that is too large',
    ]);
  });

  test('are not repeated by the problem that they cause', () => {
    const loaded = loadSettings({
      ...complete,
      MAYFLY_LEDGER_URL: 's3cret-word',
      MAYFLY_SECRET_x: 'other-word',
    });
    expect(loaded.ok).toBe(false);
    expect(JSON.stringify(loaded)).not.toMatch(/s3cret-word|other-word/);
  });
});

describe('the ledger', () => {
  const remote = (query = '') => `postgresql://app:pw@ledger.example/mayfly${query}`;

  test('on another machine is not reached in the clear by accident', () => {
    expect(problems({ MAYFLY_LEDGER_URL: remote() })).toEqual([
      'MAYFLY_LEDGER_CA_FILE is not set, and MAYFLY_LEDGER_URL names another machine without sslmode=verify-full',
    ]);
    expect(
      problems({ MAYFLY_LEDGER_URL: remote(), MAYFLY_LEDGER_CA_FILE: file('ca', 'c') }),
    ).toEqual([]);
    expect(problems({ MAYFLY_LEDGER_URL: remote('?sslmode=verify-full') })).toEqual([]);
    expect(problems({ MAYFLY_LEDGER_URL: remote('?sslmode=prefer') })).toHaveLength(1);
    const several = 'postgresql://app:p@127.0.0.1:5432,ledger-2.example:5432/mayfly';
    expect(problems({ MAYFLY_LEDGER_URL: several })).toHaveLength(1);
    expect(problems({ MAYFLY_LEDGER_URL: `${several}?sslmode=verify-full` })).toEqual([]);
  });

  test('may be in the clear where that was said, or on a socket', () => {
    expect(problems({ MAYFLY_LEDGER_URL: remote('?sslmode=disable') })).toEqual([]);
    expect(problems({ MAYFLY_LEDGER_URL: remote('?host=/run/postgresql') })).toEqual([]);
  });

  test('is migrated on start only as its owner', () => {
    expect(problems({ MAYFLY_MIGRATE_ON_START: 'true' })).toEqual([
      'MAYFLY_LEDGER_OWNER_URL is not set',
    ]);
    const owner = 'postgresql://owner:pw@127.0.0.1/mayfly';
    const { settings, secrets } = load({
      MAYFLY_MIGRATE_ON_START: 'true',
      MAYFLY_LEDGER_OWNER_URL: owner,
    });
    expect(settings.ledger.migrateOnStart).toBe(true);
    expect(secrets.ledgerOwnerUrl?.reveal()).toBe(owner);
  });
});

test('a problem that two parts meet is reported once', () => {
  const changes = {
    MAYFLY_MIGRATE_ON_START: 'true',
    MAYFLY_LEDGER_OWNER_URL: LEDGER,
    MAYFLY_LEDGER_CA_FILE: join(folder, 'nowhere'),
  };
  expect(problems(changes)).toEqual(['MAYFLY_LEDGER_CA_FILE names a file that cannot be read']);
});

describe('logins to OpenBao', () => {
  test('by JWT, with a mount', () => {
    const jwt = file('jwt', 'j');
    const login = {
      MAYFLY_REAPER_LOGIN: 'jwt',
      MAYFLY_REAPER_LOGIN_MOUNT: 'kubernetes',
      MAYFLY_REAPER_ROLE: 'mayfly-reaper',
      MAYFLY_REAPER_JWT_FILE: jwt,
      MAYFLY_REAPER_TOKEN_FILE: undefined,
    };
    expect(load(login).settings.backend.reaper).toEqual({
      kind: 'jwt',
      mount: 'kubernetes',
      role: 'mayfly-reaper',
      jwtFile: jwt,
    });
    expect(problems({ ...login, MAYFLY_REAPER_ROLE: undefined })).toEqual([
      'MAYFLY_REAPER_ROLE is not set',
    ]);
  });

  test('settings of a login that was not chosen are a problem', () => {
    expect(problems({ MAYFLY_REAPER_ROLE: 'x', MAYFLY_MINTER_TOKEN_FILE: '/nowhere' })).toEqual([
      'MAYFLY_MINTER_TOKEN_FILE is set, but MAYFLY_MINTER_LOGIN is approle',
      'MAYFLY_REAPER_ROLE is set, but MAYFLY_REAPER_LOGIN is token_file',
    ]);
  });
});

describe('names that are no settings', () => {
  test.each([
    ['MAYFLY_PUBLIC_ULR', 'MAYFLY_PUBLIC_URL'],
    ['MAYFLY_LISTENPORT', 'MAYFLY_LISTEN_PORT'],
    ['MAYFLY_MINTER_SECRET_ID', 'MAYFLY_MINTER_SECRET_ID_FILE'],
    ['MAYFLY_LEDGER_URL_FIEL', 'MAYFLY_LEDGER_URL_FILE'],
  ])('%s is taken for %s', (name, meant) => {
    const loaded = loadSettings({ ...complete, [name]: 'x' });
    expect(loaded.ok ? [] : loaded.failure.map(({ remedy }) => remedy)).toEqual([
      `Did you mean ${meant}? docs/settings.md lists all; remove or rename it.`,
    ]);
  });

  test('that are like none get no guess', () => {
    const loaded = loadSettings({ ...complete, MAYFLY_FRANKENSTEIN: 'x' });
    expect(JSON.stringify(loaded)).not.toContain('Did you mean');
    expect(problems({ MAYFLY_FRANKENSTEIN: '' })).toEqual(['MAYFLY_FRANKENSTEIN is not a setting']);
  });

  test('what Kubernetes sets for a Service named mayfly is left alone', () => {
    const services = {
      MAYFLY_SERVICE_HOST: '10.0.0.1',
      MAYFLY_SERVICE_PORT: '8080',
      MAYFLY_SERVICE_PORT_HTTP: '8080',
      MAYFLY_PORT: 'tcp://10.0.0.1:8080',
      MAYFLY_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      MAYFLY_PORT_8080_TCP_ADDR: '10.0.0.1',
      MAYFLY_PORT_8080_TCP_PORT: '8080',
      MAYFLY_PORT_8080_TCP_PROTO: 'tcp',
      MAYFLY_LEDGER_SERVICE_HOST: '10.0.0.2',
      MAYFLY_LEDGER_PORT: 'tcp://10.0.0.2:5432',
    };
    expect(problems(services)).toEqual([]);
    expect(problems({ MAYFLY_LSTEN_PORT: '8080' })).toEqual(['MAYFLY_LSTEN_PORT is not a setting']);
  });

  test('of other programs are none of ours', () => {
    expect(problems({ PATH: '/bin', mayfly_public_url: 'x', NOTMAYFLY_X: 'x' })).toEqual([]);
  });
});

describe('commands that need less', () => {
  test('check needs the catalogue alone', () => {
    const { MAYFLY_CONFIG_DIR } = complete;
    expect(
      loadCatalogueSettings({ MAYFLY_CONFIG_DIR, MAYFLY_ADDRESS_ORDERS_HOST: 'db.internal' }),
    ).toEqual({
      ok: true,
      value: {
        configFolder: MAYFLY_CONFIG_DIR,
        addresses: new Map([['ORDERS_HOST', 'db.internal']]),
      },
    });
  });

  test('migrate needs the ledger as its owner', () => {
    expect(loadMigrationSettings({ MAYFLY_LEDGER_URL: LEDGER })).toMatchObject({
      failure: [{ name: 'MAYFLY_LEDGER_OWNER_URL' }],
    });
    expect(loadMigrationSettings({ MAYFLY_LEDGER_OWNER_URL: LEDGER }).ok).toBe(true);
  });

  test('an administrator needs all places and no login of a broker', () => {
    const { MAYFLY_CONFIG_DIR, MAYFLY_BACKEND_URL } = complete;
    const env = { MAYFLY_CONFIG_DIR, MAYFLY_BACKEND_URL, MAYFLY_LEDGER_OWNER_URL: LEDGER };
    expect(loadAdministrationSettings(env)).toMatchObject({
      ok: true,
      value: { backend: { address: 'https://bao.example:8200' } },
    });
  });
});
