import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Writable } from 'node:stream';
import { inspect } from 'node:util';
import { systemClock } from '../../src/foundation/clock.ts';
import { createLog } from '../../src/foundation/log.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { connectLedger } from '../../src/ledger/postgres/connect-ledger.ts';
import { connectionConfig } from '../../src/ledger/postgres/ledger-address.ts';
import { schemaState } from '../../src/ledger/migrate.ts';
import { active, AGENT, minted, open } from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

const CANARY = 'canary-7f3a9c';

let server: LedgerServer;
let ledger: TestLedger;

beforeAll(async () => {
  server = await startLedgerServer();
  ledger = await server.ledger();
});
afterAll(async () => {
  await ledger.close();
  await server.stop();
});

/** All that a careless reader of an error could print. */
function everythingOf(error: unknown): string {
  const own =
    error instanceof Error ? JSON.stringify(error, Object.getOwnPropertyNames(error)) : '';
  return `${inspect(error, { depth: 8, showHidden: true })} ${own}`;
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => error,
  );
}

describe('no secret in the ledger', () => {
  test('of a credential only its SHA-256 is kept', async () => {
    const replica = ledger.connect();
    const credential = new SecretText(`postgresql://m-x:${CANARY}@db.internal:5432/orders`);
    const { lease } = await open(replica);
    await replica.recordMint({ ...minted(lease.id), credentialSha256: credential.sha256() });
    expect((await replica.leaseByCredential(credential.sha256()))?.id).toBe(lease.id);
    const tables = await ledger.query<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'mayfly'::regnamespace and relkind = 'r'`,
    );
    expect(tables.length).toBeGreaterThan(5);
    let rows = '';
    for (const { name } of tables) {
      rows += JSON.stringify(
        await ledger.query(`select to_jsonb(t) as row from mayfly.${name} as t`),
      );
    }
    expect(rows).toContain(lease.credentialName);
    expect(rows).toContain(credential.sha256().toString('hex'));
    expect(rows).not.toContain(CANARY);
  });
});

describe('no value in an error', () => {
  test('of a statement that Postgres refuses', async () => {
    const replica = ledger.connect();
    const { lease } = await open(replica, { lease: { credentialName: `${CANARY}-name` } });
    const twice = await rejection(
      open(replica, { lease: { credentialName: lease.credentialName } }),
    );
    expect(everythingOf(twice)).toContain('23505');
    expect(everythingOf(twice)).toContain('lease_credential_name');
    expect(everythingOf(twice)).not.toContain(CANARY);
    const nul = await rejection(open(replica, { lease: { subject: `${CANARY}\0` } }));
    expect(everythingOf(nul)).toContain('22021');
    expect(everythingOf(nul)).not.toContain(CANARY);
  });

  test('of a login that is refused, or a server that is not there', async () => {
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(chunk.toString());
        done();
      },
    });
    for (const url of [
      `postgresql://mayfly_app:${CANARY}@127.0.0.1:${server.postgres.port}/${ledger.database}`,
      `postgresql://mayfly_app:${CANARY}@127.0.0.1:1/${ledger.database}`,
      `postgresql://mayfly_app:${CANARY}@nowhere.invalid/${ledger.database}`,
    ]) {
      const options = { url: new SecretText(url), log: createLog('debug', sink) };
      const replica = connectLedger({
        ...options,
        poolSize: 1,
        replica: 'a',
        claimSeconds: 15,
        clock: systemClock,
      });
      for (const error of [await rejection(replica.now()), await rejection(schemaState(options))]) {
        expect(error).toMatchObject({ name: 'LedgerUnreachable' });
        expect(everythingOf(error)).not.toContain(CANARY);
      }
      await replica.close();
    }
    expect(lines.join('')).not.toContain(CANARY);
  });

  test.each([
    `${CANARY}`,
    `mysql://user:${CANARY}@host/db`,
    `postgresql://:${CANARY}@host/db`,
    `postgresql://user:${CANARY}@host`,
    `postgresql://user:${CANARY}@host/db?sslmode=prefer`,
    `postgresql://user:${CANARY}@host/db?password=x`,
  ])('of an address that is wrong: %#', (url) => {
    const error = (() => {
      try {
        return connectionConfig({ url: new SecretText(url) });
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(Error);
    expect(everythingOf(error)).not.toContain(CANARY);
  });
});

describe('the address of a ledger', () => {
  const config = (url: string, caFile?: string) =>
    connectionConfig({ url: new SecretText(url), ...(caFile ? { caFile } : {}) });

  test('is taken apart, with the text of user and password decoded', () => {
    expect(config('postgresql://mayfly%5Fapp:p%40ss@db.internal:6000/led%2Fger')).toMatchObject({
      host: 'db.internal',
      port: 6000,
      user: 'mayfly_app',
      password: 'p@ss',
      database: 'led/ger',
      ssl: false,
    });
    expect(config('postgres://a:b@h/d').port).toBe(5432);
    expect(config('postgres://a:b@localhost/d?host=/var/run/postgresql').host).toBe(
      '/var/run/postgresql',
    );
  });

  test('TLS always verifies', () => {
    expect(config('postgres://a:b@h/d?sslmode=verify-full').ssl).toEqual({
      rejectUnauthorized: true,
    });
    expect(config('postgres://a:b@h/d?sslmode=require').ssl).toEqual({ rejectUnauthorized: true });
    expect(config('postgres://a:b@h/d?sslmode=disable').ssl).toBe(false);
    expect(() => config('postgres://a:b@h/d?sslmode=disable', '/ca.pem')).toThrow(/authority/);
  });

  test('an agent named like SQL is only a name', async () => {
    const agent = { ...AGENT, id: `x'; drop table mayfly.lease; --` };
    const lease = await active(ledger.connect(), { agent });
    expect((await ledger.connect().leases({ agentId: agent.id }, 10, null)).items).toHaveLength(1);
    expect(lease.agentId).toBe(agent.id);
  });
});
