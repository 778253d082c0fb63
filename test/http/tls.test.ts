import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import type { TlsFiles } from '../../src/embedded/loopback-certificates.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { serving, stopAll } from './support/serving.ts';

const folders: string[] = [];
afterEach(async () => {
  await stopAll();
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function certificates(): Promise<TlsFiles> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-tls-'));
  folders.push(folder);
  return loopbackCertificates(join(folder, 'tls'), systemClock);
}

/** The status of /healthz, and the certificate that the server showed. */
async function ask(port: number, caFile: string): Promise<{ status: number; serial: string }> {
  const ca = await readFile(caFile);
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: '/healthz', ca, agent: false });
    asked.once('error', reject);
    asked.once('response', (answer) => {
      const { serialNumber } = (answer.socket as TLSSocket).getPeerCertificate();
      answer.resume();
      resolve({ status: answer.statusCode ?? 0, serial: serialNumber });
    });
    asked.end();
  });
}

describe('a listener with TLS', () => {
  test('is believed by those who trust its authority', async () => {
    const files = await certificates();
    const { port } = await serving({}, { tls: files });
    expect((await ask(port, files.caFile)).status).toBe(200);
    await expect(ask(port, (await certificates()).caFile)).rejects.toThrow();
  });

  test('speaks nothing older than TLS 1.2', async () => {
    const files = await certificates();
    const { port } = await serving({}, { tls: files });
    const outcome = await new Promise<string>((resolve) => {
      const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
      const socket = connect({
        host: '127.0.0.1',
        port,
        rejectUnauthorized: false,
        ...old,
      } as object);
      socket.once('secureConnect', () => resolve('spoke'));
      socket.once('error', () => resolve('refused'));
    });
    expect(outcome).toBe('refused');
  });

  test('takes new files without a restart, and keeps the old ones if they are bad', async () => {
    const files = await certificates();
    const { port, server } = await serving({}, { tls: files });
    const first = await ask(port, files.caFile);
    const renewed = await certificates();
    await writeFile(files.certFile, await readFile(renewed.certFile));
    await writeFile(files.keyFile, await readFile(renewed.keyFile));
    (await server.readyTls())();
    const second = await ask(port, renewed.caFile);
    expect(second.status).toBe(200);
    expect(second.serial).not.toBe(first.serial);
    await writeFile(files.certFile, 'no certificate');
    await expect(server.readyTls()).rejects.toThrow();
    expect((await ask(port, renewed.caFile)).serial).toBe(second.serial);
  });

  test('does not start without its files', async () => {
    const nowhere = { certFile: '/nowhere/cert.pem', keyFile: '/nowhere/key.pem' };
    await expect(serving({}, { tls: nowhere })).rejects.toThrow('ENOENT');
  });
});
