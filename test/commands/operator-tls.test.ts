import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { runMayfly } from '../support/run-mayfly.ts';

let folder: string;
let caFile: string;
let server: Server;
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-operator-tls-'));
  await writeFile(join(folder, 'token'), 'a-token', { mode: 0o600 });
  const files = await loopbackCertificates(join(folder, 'tls'), systemClock);
  ({ caFile } = files);
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]);
  server = createServer({ cert, key }, (request, response) => {
    response.writeHead(403, { 'Content-Type': 'application/problem+json' });
    response.end(JSON.stringify({ detail: `a broker answered at ${request.url ?? ''}` }));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  await rm(folder, { recursive: true, force: true });
});

function leases(env: Readonly<Record<string, string>>, below = '') {
  const token = join(folder, 'token');
  return runMayfly(['leases', '--url', `${url}${below}`, '--token-file', token], { env });
}

describe('a broker whose certificate is of an authority of its own', () => {
  test('is not taken for one that does not answer', async () => {
    const { code, err } = await leases({});
    expect(err).toMatch(
      /^\S.*certificate at https:\/\/127\.0\.0\.1:\d+ is not accepted \([A-Z_]+\)/,
    );
    expect(err).toContain('NODE_EXTRA_CA_CERTS');
    expect(err).not.toContain('a-token');
    expect(code).toBe(3);
  });

  test('is asked where NODE_EXTRA_CA_CERTS names it', async () => {
    const { code, err } = await leases({ NODE_EXTRA_CA_CERTS: caFile });
    expect(err).toContain('a broker answered');
    expect(code).toBe(1);
  });

  test('and below the path of a gateway', async () => {
    const { err } = await leases({ NODE_EXTRA_CA_CERTS: caFile }, '/mayfly/');
    expect(err).toContain('a broker answered at /mayfly/v1/leases');
  });

  test('and the help says so', async () => {
    expect((await runMayfly(['leases', '--help'])).out).toContain('NODE_EXTRA_CA_CERTS');
  });
});
