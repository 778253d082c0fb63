import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile, stat } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import { startOpenBao } from '../../src/embedded/openbao.ts';
import type { EmbeddedOpenBao, OpenBaoOptions } from '../../src/embedded/openbao.ts';
import { OWNERS_PASSWORD } from './support/owners-password.ts';
import { baoProgram, folderWithOpenBao, removeFolders } from './support/processes.ts';

const adminPassword = new SecretText(OWNERS_PASSWORD);
const servers: EmbeddedOpenBao[] = [];
let bao = '';

beforeAll(async () => {
  bao = await baoProgram();
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.kill('SIGKILL');
    await server.exited;
  }
});
afterAll(removeFolders);

async function start(folder: string, more: Partial<OpenBaoOptions> = {}): Promise<EmbeddedOpenBao> {
  const server = await startOpenBao({ folder, bao, adminPassword, ...more });
  servers.push(server);
  return server;
}

type Reply = { readonly status: number; readonly body: string };

async function call(
  server: EmbeddedOpenBao,
  method: string,
  path: string,
  body?: object,
): Promise<Reply> {
  const token = await server.admin.login();
  const ca = server.caFile === undefined ? {} : { ca: await readFile(server.caFile) };
  const send = server.address.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const headers = { 'x-vault-token': token.reveal() };
    const sent = send(`${server.address}/v1/${path}`, { method, headers, agent: false, ...ca });
    sent.on('error', reject);
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function mode(file: string): Promise<number> {
  return (await stat(file)).mode & 0o777;
}

describe('the embedded OpenBao', () => {
  test('keeps what it was told over a stop and over a kill, on whatever ports', async () => {
    const folder = join(await folderWithOpenBao(), 'openbao');
    const first = await start(folder);
    expect(await call(first, 'POST', 'sys/mounts/kept', { type: 'kv' })).toMatchObject({
      status: 204,
    });
    await first.stop();
    const second = await start(folder);
    expect((await call(second, 'GET', 'sys/mounts/kept')).status).toBe(200);
    second.kill('SIGKILL');
    await second.exited;
    const third = await start(folder);
    expect((await call(third, 'GET', 'sys/mounts/kept')).status).toBe(200);
  });

  test('lets its administrator set up all that the broker needs', async () => {
    const server = await start(join(await folderWithOpenBao(), 'openbao'));
    const steps: [string, object][] = [
      ['sys/mounts/agents-db', { type: 'database' }],
      ['sys/policies/acl/minter', { policy: 'path "sys/health" { capabilities = ["read"] }' }],
      ['sys/auth/approle', { type: 'approle' }],
      ['auth/approle/role/minter', { token_policies: ['minter'] }],
      ['auth/token/roles/orders', { orphan: true, renewable: false, token_type: 'batch' }],
      ['agents-db/roles/orders', { db_name: 'orders', creation_statements: ['select 1'] }],
    ];
    for (const [path, body] of steps) {
      expect([path, (await call(server, 'POST', path, body)).status]).toEqual([path, 204]);
    }
    expect((await call(server, 'LIST', 'sys/leases/lookup/agents-db/')).status).toBe(404);
  });

  test('leaves no root token, writes every request down, and keeps its files to itself', async () => {
    const folder = join(await folderWithOpenBao(), 'openbao');
    const server = await start(folder);
    const { body } = await call(server, 'LIST', 'auth/token/accessors');
    const { keys } = (JSON.parse(body) as { data: { keys: string[] } }).data;
    for (const accessor of keys) {
      const looked = await call(server, 'POST', 'auth/token/lookup-accessor', { accessor });
      expect(looked.body).not.toMatch(/"policies":\[[^\]]*"root"/);
    }
    const audit = await readFile(server.auditLog, 'utf8');
    expect(audit.includes('"path":"auth/token/accessors/"')).toBe(true);
    expect(audit.includes(adminPassword.reveal())).toBe(false);
    const files = ['seal.key', 'administrator-password', 'openbao.hcl', 'audit.log', 'openbao.log'];
    for (const file of files) {
      expect([file, await mode(join(folder, file))]).toEqual([file, 0o600]);
    }
    expect(await mode(folder)).toBe(0o700);
  });

  test('speaks TLS that only its own authority vouches for', async () => {
    const folder = await folderWithOpenBao();
    const tls = await loopbackCertificates(join(folder, 'tls'), systemClock);
    const server = await start(join(folder, 'openbao'), { tls });
    expect(server.address).toMatch(/^https:/);
    expect((await call(server, 'GET', 'sys/mounts')).status).toBe(200);
    await expect(fetch(`${server.address}/v1/sys/health`)).rejects.toMatchObject({
      cause: { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    });
    expect(await mode(tls.keyFile)).toBe(0o600);
  });

  test('says what OpenBao said when it cannot start', async () => {
    const folder = await folderWithOpenBao();
    const first = await start(join(folder, 'openbao'));
    const other = join(await folderWithOpenBao(), 'openbao');
    await expect(start(other, { port: first.port, clusterPort: first.port })).rejects.toThrow(
      /did not start[^]*address already in use/,
    );
    await expect(start(other)).resolves.toBeDefined();
  });
});
