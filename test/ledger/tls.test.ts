import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import type { TlsFiles } from '../../src/embedded/loopback-certificates.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import { connectLedger } from '../../src/ledger/postgres/connect-ledger.ts';
import { migrate, schemaState } from '../../src/ledger/migrate.ts';
import { silent } from './support/ledger-server.ts';

let folder: string;
let postgres: EmbeddedPostgres;
let own: TlsFiles;
let other: TlsFiles;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-ledger-tls-'));
  await chmod(folder, 0o755);
  own = await loopbackCertificates(join(folder, 'own'), systemClock);
  other = await loopbackCertificates(join(folder, 'other'), systemClock);
  postgres = await startPostgres({
    dataDir: join(folder, 'postgres'),
    superuserPassword: new SecretText('canary'),
    durable: false,
    tls: own,
  });
});
afterAll(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true });
});

const url = (options = '', host = '127.0.0.1') =>
  new SecretText(`postgresql://postgres:canary@${host}:${postgres.port}/postgres${options}`);

test('with its own authority the connection is encrypted and verified', async () => {
  const address = { url: url('?sslmode=verify-full'), caFile: own.caFile };
  await migrate(address, silent);
  const ledger = connectLedger({
    ...address,
    poolSize: 1,
    replica: 'a',
    claimSeconds: 15,
    clock: systemClock,
    log: silent,
  });
  expect(await ledger.installation()).toHaveLength(4);
  expect(await ledger.schema()).toMatchObject({ fit: 'current' });
  await ledger.close();
});

test.each([
  [
    'another authority',
    () => ({ url: url(), caFile: other.caFile }),
    /CERT_SIGNATURE_FAILURE|UNABLE_TO_VERIFY|SELF_SIGNED/,
  ],
  [
    'the authorities of the system',
    () => ({ url: url('?sslmode=verify-full') }),
    /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/,
  ],
  // The same address, by a name that the certificate does not hold.
  ['another name', () => ({ url: url('', '127.1'), caFile: own.caFile }), /ALTNAME_INVALID/],
])('with %s nothing is sent', async (_what, address, reason) => {
  await expect(schemaState(address())).rejects.toThrow(LedgerUnreachable);
  await expect(schemaState(address())).rejects.toThrow(reason);
  const ledger = connectLedger({
    ...address(),
    poolSize: 1,
    replica: 'a',
    claimSeconds: 15,
    clock: systemClock,
    log: silent,
  });
  await expect(ledger.now()).rejects.toThrow(LedgerUnreachable);
  await ledger.close();
});
