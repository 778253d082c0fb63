import { afterEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { ORDINARY } from '../../src/mint/call-bounds.ts';
import type { CallBounds } from '../../src/mint/call-bounds.ts';
import { openVaultPort } from '../../src/mint/vault-port.ts';
import type { VaultPort, VaultPortOptions, VaultResult } from '../../src/mint/vault-port.ts';

const TOKEN = 'hvs.a-very-secret-token-1234567890';
const BODY_SECRET = 'a-very-secret-id';
const token = new SecretText(TOKEN);
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.close();
    (server as Partial<{ closeAllConnections(): void }>).closeAllConnections?.();
  });
  return (server.address() as AddressInfo).port;
}

function portTo(address: string, more: Partial<VaultPortOptions> = {}): VaultPort {
  const port = openVaultPort({ address, maxSockets: 4, ...more });
  closing.push(() => port.close());
  return port;
}

async function served(answer: RequestListener, more: Partial<VaultPortOptions> = {}) {
  return portTo(`http://127.0.0.1:${await listening(createHttp(answer))}`, more);
}

function quick(more: Partial<CallBounds> = {}) {
  return { token, bounds: { ...ORDINARY, connectMs: 300, replyMs: 300, maxBytes: 1000, ...more } };
}

function failed(result: VaultResult) {
  if (result.ok) throw new Error('it should have failed');
  const printed = inspect(result.failure, { depth: 9, showHidden: true });
  for (const text of [printed, JSON.stringify(result.failure), String(result.failure.stack)]) {
    expect(text).not.toContain(TOKEN);
    expect(text).not.toContain(BODY_SECRET);
  }
  return result.failure;
}

describe('the wire to OpenBao', () => {
  test('sends the token of the call, the body, and LIST as a GET', async () => {
    const seen: unknown[] = [];
    const port = await served((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        seen.push([request.method, request.url, request.headers['x-vault-token'], body]);
        response.end('{"data":{}}');
      });
    });
    await port.read('a/b', { token });
    await port.write('a/b', { x: 1 }, { token: new SecretText('other') });
    await port.list('a/b/', { token });
    await port.delete('a/b', { token });
    await port.write('auth/approle/login', { secret_id: 's' }, { token: null });
    expect(seen).toEqual([
      ['GET', '/v1/a/b', TOKEN, ''],
      ['POST', '/v1/a/b', 'other', '{"x":1}'],
      ['GET', '/v1/a/b/?list=1', TOKEN, ''],
      ['DELETE', '/v1/a/b', TOKEN, ''],
      ['POST', '/v1/auth/approle/login', undefined, '{"secret_id":"s"}'],
    ]);
  });

  test('takes nothing from the environment', async () => {
    const before = { ...process.env };
    Object.assign(process.env, {
      VAULT_ADDR: 'http://127.0.0.1:1',
      VAULT_TOKEN: 'from-the-environment',
      VAULT_NAMESPACE: 'elsewhere',
      VAULT_PREFIX: '/prefix',
      HTTP_PROXY: 'http://127.0.0.1:1',
      http_proxy: 'http://127.0.0.1:1',
    });
    try {
      const seen: unknown[] = [];
      const port = await served((request, response) => {
        const { 'x-vault-token': sent, 'x-vault-namespace': namespace } = request.headers;
        seen.push([request.url, sent, namespace]);
        response.end('{}');
      });
      await port.read('sys/health', { token: null });
      expect(seen).toEqual([['/v1/sys/health', undefined, undefined]]);
    } finally {
      process.env = before;
    }
  });

  test('sends the namespace that is set', async () => {
    let seen: unknown;
    const answer: RequestListener = (request, response) => {
      seen = request.headers['x-vault-namespace'];
      response.end('{}');
    };
    await (await served(answer, { namespace: 'team-a' })).read('x', { token });
    expect(seen).toBe('team-a');
  });

  test('never follows a redirect', async () => {
    let followed = 0;
    const elsewhere = await listening(
      createHttp((_request, response) => {
        followed++;
        response.end('{}');
      }),
    );
    const port = await served((_request, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${elsewhere}/v1/x` }).end();
    });
    const error = failed(await port.read('x', quick()));
    expect(error).toMatchObject({ kind: 'status', status: 307, errors: null });
    expect(followed).toBe(0);
  });

  test('every 2xx is a success, an empty one too', async () => {
    const port = await served((_request, response) => void response.writeHead(202).end());
    expect(await port.write('x', {}, quick())).toEqual({ ok: true, value: undefined });
  });

  test('an error carries the words of OpenBao and how long to wait', async () => {
    const port = await served((_request, response) => {
      response.writeHead(429, { 'retry-after': '7' });
      response.end('{"errors":["rate limit quota exceeded"]}');
    });
    expect(failed(await port.write('x', { secret_id: BODY_SECRET }, quick()))).toMatchObject({
      kind: 'status',
      status: 429,
      errors: ['rate limit quota exceeded'],
      retryAfterSeconds: 7,
    });
  });

  test.each([
    ['not JSON', (write: (text: string) => void) => write('<html>ok</html>')],
    ['half of it', (write: (text: string) => void) => write('{"data":{')],
    ['a huge answer', (write: (text: string) => void) => write(`"${'x'.repeat(5_000)}"`)],
  ])('rubbish: %s', async (_what, answer) => {
    const port = await served((_request, response) => answer((text) => response.end(text)));
    expect(failed(await port.read('x', quick())).kind).toBe('rubbish');
  });

  test('an answer that never ends is cut at its bound', async () => {
    const port = await served((_request, response) => {
      const more = setInterval(() => response.write('x'.repeat(400)), 5);
      response.on('close', () => clearInterval(more));
    });
    expect(failed(await port.read('x', quick())).kind).toBe('rubbish');
  });

  test('what may not be cut is read to its end, and only then refused', async () => {
    let cut = false;
    const port = await served((request, response) => {
      request.socket.on('close', () => (cut = true));
      response.write(`"${'x'.repeat(5_000)}`);
      setTimeout(() => response.end('"'), 60);
    });
    const error = failed(await port.read('x', quick({ mayCut: false })));
    expect(error.kind).toBe('rubbish');
    await systemClock.sleep(50);
    expect(cut).toBe(false);
  });

  test('silence: no reply after the bound', async () => {
    const port = await served(() => undefined);
    const error = failed(await port.write('x', { secret_id: BODY_SECRET }, quick()));
    expect(error).toMatchObject({ kind: 'no_reply', status: null, wasReset: false });
  });

  test('a connection that breaks after the request was sent: no reply', async () => {
    const server = createTcp((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.destroy());
    });
    const port = portTo(`http://127.0.0.1:${await listening(server)}`);
    expect(failed(await port.read('x', quick()))).toMatchObject({
      kind: 'no_reply',
      wasReset: true,
    });
  });

  test('an answer that breaks off: no reply', async () => {
    const port = await served((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"data":');
      setTimeout(() => response.destroy(), 20);
    });
    expect(failed(await port.read('x', quick())).kind).toBe('no_reply');
  });

  test('nobody there: unsent', async () => {
    const server = createTcp();
    const free = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    expect(failed(await portTo(`http://127.0.0.1:${free}`).read('x', quick())).kind).toBe('unsent');
  });

  test('all connections taken: unsent, and the others are not hurt', async () => {
    const waiting: (() => void)[] = [];
    const answer: RequestListener = (_request, response) =>
      void waiting.push(() => response.end('{}'));
    const port = await served(answer, { maxSockets: 1 });
    const first = port.read('x', quick({ replyMs: 5_000 }));
    const second = await port.read('x', quick({ connectMs: 80 }));
    expect(failed(second).kind).toBe('unsent');
    waiting[0]?.();
    expect(await first).toMatchObject({ ok: true });
    expect(waiting).toHaveLength(1);
  });

  test('keeps the connection for the next call', async () => {
    let connections = 0;
    const server = createHttp((_request, response) => void response.end('{}'));
    server.on('connection', () => connections++);
    const port = portTo(`http://127.0.0.1:${await listening(server)}`);
    for (let call = 0; call < 5; call++) await port.read('x', { token });
    expect(connections).toBe(1);
  });

  test('TLS: trusts the given authority, and nobody else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mayfly-wire-'));
    const files = await loopbackCertificates(join(folder, 'tls'), systemClock);
    const [key, cert, ca] = await Promise.all(
      [files.keyFile, files.certFile, files.caFile].map((file) => readFile(file, 'utf8')),
    );
    await rm(folder, { recursive: true });
    const server = createHttps({ key, cert }, (_request, response) => void response.end('{}'));
    const address = `https://127.0.0.1:${await listening(server)}`;
    expect((await portTo(address, { ca }).read('x', quick())).ok).toBe(true);
    // The handshake failed, so nothing of the request left.
    expect(failed(await portTo(address).read('x', quick())).kind).toBe('unsent');
  });

  test('a path that could reach elsewhere is a fault of ours', async () => {
    const port = portTo('http://127.0.0.1:1');
    await expect(async () => port.read('a/../sys/seal', { token })).rejects.toThrow(TypeError);
    await expect(async () => port.read('a b', { token })).rejects.toThrow(TypeError);
    for (const address of ['ftp://x', 'http://x/bao', 'http://x?a=b']) {
      expect(() => openVaultPort({ address, maxSockets: 1 })).toThrow(TypeError);
    }
  });
});
