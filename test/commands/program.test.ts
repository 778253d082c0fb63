import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runMayfly } from '../support/run-mayfly.ts';
import type { Run } from '../support/run-mayfly.ts';

/** A port of loopback on which nothing listens. */
const NOBODY = '127.0.0.1:1';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-program-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileWith(content: string): Promise<string> {
  const file = join(folder, `${content.length}-${content.charCodeAt(0)}`);
  await writeFile(file, content, { mode: 0o600 });
  return file;
}

function expectOneSentence(run: Run): void {
  expect(run.out).toBe('');
  expect(run.err).not.toMatch(/\n\s+at /);
  expect(run.err.trim()).not.toBe('');
}

describe('help', () => {
  test('names every command, and each command says what it takes and how it ends', async () => {
    const { code, out } = await runMayfly(['--help']);
    expect(code).toBe(0);
    const commands = ['serve', 'migrate', 'check', 'leases', 'doctor', 'query', 'demo'];
    for (const command of [...commands, 'backend']) expect(out).toContain(`\n  ${command} `);
    const asked = [...commands.map((name) => [name]), ['backend', 'plan'], ['backend', 'apply']];
    const answers = await Promise.all(asked.map((names) => runMayfly([...names, '--help'])));
    for (const answer of answers) {
      expect(answer.code).toBe(0);
      expect(answer.out).toMatch(/Exit status: 0/);
    }
  });
});

describe('what was typed wrong ends with 2 and one clear answer', () => {
  test.each([
    ['an unknown command', ['nonsense'], /unknown command 'nonsense'/],
    ['an unknown option', ['serve', '--nonsense'], /unknown option '--nonsense'/],
    ['an operator without a token', ['leases'], /--token-file/],
    ['a token file that is not there', ['leases', '--token-file', '/nowhere'], /\/nowhere/],
    ['a credential that is none', ['query', 'select 1'], /No credential/],
    ['doctor without administrators', ['doctor'], /--ledger-admin/],
    ['migrate without a ledger', ['migrate'], /MAYFLY_LEDGER_OWNER_URL is not set/],
  ])('%s', async (_what, args, said) => {
    const run = await runMayfly(args, { input: 'nothing of use' });
    expect(run.code).toBe(2);
    expect(run.err).toMatch(said);
    expectOneSentence(run);
  });

  test.each([
    ['revoke', ['--agent', 'a', '--agent', 'b', '--reason', 'x'], /'--agent <id>' came twice/],
    ['revoke', ['--agent=a', '--reason', 'x', '--reason=y'], /'--reason <text>' came twice/],
    ['revoke', ['--agent', 'a', '--scope', '', '--reason', 'x'], /'--scope <name>' needs a value/],
    ['revoke', ['--agent', 'a', '--reason', 'x', '--wait', '1', '--wait', '2'], /'--wait .* twice/],
    ['leases', ['--credential-sha256', ''], /'--credential-sha256 <hex>' needs a value/],
    ['leases', ['--agent='], /'--agent <id>' needs a value/],
    ['leases', ['--url', `http://${NOBODY}`, '--url', `http://${NOBODY}`], /'--url <url>' came/],
    ['leases', ['--url', 'http://broker.example'], /must be https \(plain http only on loopback\)/],
    ['leases', ['--url', 'broker.example:8080'], /Set --url or MAYFLY_URL/],
    ['ledger confirm', ['--confirmation', ''], /'--confirmation <value>' needs a value/],
    ['quarantine', ['', '--reason', 'x'], /argument 'agent' needs a value/],
    ['leases', ['--all', '--state', 'active'], /'--all' cannot be used with option '--state/],
    ['backend plan', ['--ledger-admin', 'a', '--ledger-admin', 'b'], /'--ledger-admin .* twice/],
  ])('%s with something twice, empty, contrary or unsafe: %j', async (command, options, said) => {
    const env = { MAYFLY_URL: `http://${NOBODY}`, MAYFLY_TOKEN_FILE: await fileWith('a-token') };
    const run = await runMayfly([...command.split(' '), ...options], { env });
    expect(run.err).toMatch(said);
    expect(run.code).toBe(2);
    expectOneSentence(run);
  });

  test('serve reports every missing and every wrong setting at once', async () => {
    const env = { MAYFLY_LISTEN_PORT: 'eighty', MAYFLY_PUBLIC_URI: 'https://x.example' };
    const run = await runMayfly(['serve'], { env });
    expect(run.code).toBe(2);
    for (const name of ['LEDGER_URL', 'PUBLIC_URL', 'BACKEND_URL', 'LISTEN_PORT', 'PUBLIC_URI']) {
      expect(run.err).toContain(`MAYFLY_${name} `);
    }
    // What the catalogue lacks comes in the same answer.
    for (const lacks of ['MAYFLY_ADDRESS_DEMO_ISSUER', 'MAYFLY_SECRET_ORDERS_GUARD_FILE']) {
      expect(run.err).toContain(lacks);
    }
    expectOneSentence(run);
  });
});

describe('an empty setting counts as not set', () => {
  test.each([
    ['leases', { MAYFLY_TOKEN_FILE: '' }, /Who are you\?/],
    ['check', { MAYFLY_CONFIG_DIR: '' }, /^config is sound/m],
    ['check', { MAYFLY_ADDRESS_DEMO_ISSUER: '' }, /not set here.*MAYFLY_ADDRESS_DEMO_ISSUER/],
  ])('%s with %j', async (command, env: Readonly<Record<string, string>>, said) => {
    const run = await runMayfly([command], { env });
    expect(run.out + run.err).toMatch(said);
  });

  test('and a broker is then looked for where one listens by default, whoever is there', async () => {
    const env = { MAYFLY_URL: '', MAYFLY_TOKEN_FILE: await fileWith('not-a-token') };
    const run = await runMayfly(['leases'], { env });
    expect(run.err).not.toContain('is not a URL');
  });
});

describe('what cannot be reached ends with 3', () => {
  test('no target, and which one is said', async () => {
    const admin = await fileWith(`postgresql://postgres:hush-hush@${NOBODY}/orders`);
    const env = {
      MAYFLY_CONFIG_DIR: resolve('config'),
      MAYFLY_BACKEND_URL: `http://${NOBODY}`,
      MAYFLY_ADDRESS_DEMO_ISSUER: `http://${NOBODY}`,
      MAYFLY_ADDRESS_ORDERS_PORT: '1',
    };
    const run = await runMayfly(
      [
        ...['backend', 'plan', '--ledger-admin', admin, '--target-admin', `orders=${admin}`],
        ...['--openbao-token-file', await fileWith('a-token'), '--secrets-dir', folder],
      ],
      { env },
    );
    expect(run.code).toBe(3);
    expect(run.err).toMatch(
      /target orders: its server at 127\.0\.0\.1:1 .*ECONNREFUSED.*--target-/,
    );
    expect(run.err).not.toContain('hush-hush');
    expectOneSentence(run);
  });

  test('no broker', async () => {
    const token = await fileWith('not-a-token');
    const run = await runMayfly(['leases', '--url', `http://${NOBODY}`, '--token-file', token]);
    expect(run.code).toBe(3);
    expectOneSentence(run);
  });

  test('no ledger', async () => {
    const env = { MAYFLY_LEDGER_OWNER_URL: `postgresql://owner:hush-hush@${NOBODY}/mayfly` };
    const run = await runMayfly(['migrate'], { env });
    expect(run.code).toBe(3);
    expect(run.err).not.toContain('hush-hush');
    expectOneSentence(run);
  });

  test('no database, and the credential is not repeated', async () => {
    const uri = `postgresql://m-name:hush-hush@${NOBODY}/orders?sslmode=disable`;
    const answer = JSON.stringify({ access_token: uri });
    const run = await runMayfly(['query', 'select 1'], { input: answer });
    expect(run.code).toBe(3);
    expect(run.err).not.toContain('hush-hush');
    expectOneSentence(run);
  });

  test('the stack of an error is shown to those who ask for it alone', async () => {
    const env = { MAYFLY_LOG_LEVEL: 'debug' };
    const run = await runMayfly(['leases', '--token-file', '/nowhere'], { env });
    expect(run.err).toMatch(/\n\s+at /);
  });
});
