import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { TRANSITIONS, LEASE_STATES } from '../../src/ledger/lease-states.ts';
import type { LedgerRole } from '../../src/ledger/provision/ledger-roles.ts';
import { active, death, open } from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

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

async function refusal(role: LedgerRole, text: string): Promise<string | undefined> {
  const client = new pg.Client({
    connectionString: ledger.administration.address(role).url.reveal(),
  });
  await client.connect();
  try {
    await client.query('begin');
    await client.query(text);
    return undefined;
  } catch (error) {
    return error instanceof pg.DatabaseError ? error.code : 'other';
  } finally {
    await client.end();
  }
}

const DENIED = '42501';
const REFUSED = '23001';

describe("the broker's own login", () => {
  test.each([
    'update mayfly.audit_event set body = body',
    'delete from mayfly.audit_event',
    'truncate mayfly.audit_event',
    'delete from mayfly.lease',
    'delete from mayfly.task',
    'update mayfly.lease set deadline = deadline',
    'update mayfly.lease set credential_name = credential_name',
    'update mayfly.lease set agent_id = agent_id',
    'update mayfly.task set identifier = identifier',
    'update mayfly.installation set id = id',
    'insert into mayfly.schema_migration (version, file, checksum, min_reader) values (9, $$$$, $$$$, 9)',
    'alter table mayfly.audit_event disable trigger all',
    'create or replace function mayfly.ledger_now() returns timestamptz language sql as $$ select now() $$',
    'create table mayfly.other ()',
    'create table public.other ()',
    'create temporary table other ()',
  ])('may not: %s', async (text) => {
    expect(await refusal('app', text)).toBe(DENIED);
  });

  test('may add and read events', async () => {
    const lease = await active(ledger.connect());
    expect((await ledger.connect().events({ leaseId: lease.id })).length).toBe(2);
  });
});

describe('the reader', () => {
  test('reads, and changes nothing', async () => {
    expect(
      await refusal('reader', 'select * from mayfly.audit_event, mayfly.lease'),
    ).toBeUndefined();
    expect(await refusal('reader', 'update mayfly.lease set state = state')).toBe(DENIED);
    expect(await refusal('reader', `insert into mayfly.agent values ('x', now())`)).toBe(DENIED);
    expect(await refusal('reader', `select mayfly.lock_for_exchange('a', 'b')`)).toBe(DENIED);
  });
});

describe('whoever is logged in, the owner included', () => {
  test('an event stays as it was written', async () => {
    await open(ledger.connect());
    for (const text of [
      'update mayfly.audit_event set body = $$$$',
      'delete from mayfly.audit_event',
      'truncate mayfly.audit_event',
    ]) {
      expect(await refusal('owner', text)).toBe(REFUSED);
    }
  });

  test('a lease keeps its name, its agent and its deadline', async () => {
    await open(ledger.connect());
    for (const change of [
      `credential_name = 'other'`,
      `agent_id = 'report-writer'`,
      `deadline = deadline + interval '1 hour'`,
    ]) {
      expect(await refusal('owner', `update mayfly.lease set ${change}`)).toBe(REFUSED);
    }
  });

  test('the table refuses every step that the transitions do not name', async () => {
    const replica = ledger.connect();
    const lease = await active(replica);
    await replica.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
    await replica.recordDeaths([death(lease.id)]);
    await replica.recordSettled([lease.id], 'sync revoke');
    const allowed = Object.values(TRANSITIONS).flatMap(({ from, to }) =>
      from.map((state) => `${state} ${to}`),
    );
    for (const from of LEASE_STATES) {
      for (const to of LEASE_STATES) {
        if (from === to) continue;
        const code = await step(lease.id, from, to);
        const refused = code === REFUSED;
        expect([`${from} ${to}`, refused]).toEqual([
          `${from} ${to}`,
          !allowed.includes(`${from} ${to}`),
        ]);
      }
    }
  });

  async function step(id: string, from: string, to: string): Promise<string | undefined> {
    const client = new pg.Client({ connectionString: server.adminUrl(ledger.database).reveal() });
    await client.connect();
    try {
      await client.query('begin');
      // Puts the lease where the step begins, past the trigger and the checks.
      await client.query(`set local session_replication_role = replica`);
      await client.query(`alter table mayfly.lease drop constraint lease_end_has_cause,
        drop constraint lease_death_has_evidence, drop constraint lease_settled_has_instant`);
      await client.query('update mayfly.lease set state = $1 where id = $2', [from, id]);
      await client.query(`set local session_replication_role = origin`);
      await client.query('update mayfly.lease set state = $1 where id = $2', [to, id]);
      return undefined;
    } catch (error) {
      return error instanceof pg.DatabaseError ? error.code : 'other';
    } finally {
      await client.query('rollback');
      await client.end();
    }
  }
});
