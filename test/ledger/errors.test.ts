import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { LEASE_STATES } from '../../src/ledger/lease-states.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import { LedgerFault, translateError } from '../../src/ledger/postgres/translate-error.ts';
import { open } from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

describe('what an error of Postgres means', () => {
  const PASSING = true;
  test.each([
    ['08006', PASSING, true, 'connection failure'],
    ['25006', PASSING, true, 'read-only'],
    ['25P03', PASSING, true, 'idle in transaction'],
    ['28P01', PASSING, true, 'wrong password'],
    ['3D000', PASSING, false, 'no such database'],
    ['40001', PASSING, false, 'serialisation'],
    ['40P01', PASSING, false, 'deadlock'],
    ['53300', PASSING, false, 'too many connections'],
    ['55P03', PASSING, false, 'lock not available'],
    ['57014', PASSING, false, 'statement time-out'],
    ['57P01', PASSING, true, 'server shuts down'],
    ['57P03', PASSING, true, 'server starts'],
    ['58030', PASSING, true, 'input or output error'],
    ['22P02', !PASSING, false, 'invalid text'],
    ['23505', !PASSING, false, 'unique violation'],
    ['23514', !PASSING, false, 'check violation'],
    ['42501', !PASSING, false, 'no right'],
    ['42P01', !PASSING, false, 'no such table'],
  ])('%s: unreachable %s, connection dropped %s (%s)', (code, passing, drop) => {
    const raw = new pg.DatabaseError('canary', 6, 'error');
    Object.assign(raw, { code, detail: 'canary', where: 'canary', table: 'lease' });
    const translated = translateError(raw);
    expect(translated.error).toBeInstanceOf(passing ? LedgerUnreachable : LedgerFault);
    expect(translated.error.message).toContain(code);
    expect(translated.error.message).not.toContain('canary');
    expect(translated.drop).toBe(drop);
  });

  test('what is ours already stays as it is', () => {
    const error = new LedgerUnreachable('gone');
    expect(translateError(error)).toEqual({ error, drop: false });
  });
});

describe('more statements than are prepared', () => {
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

  test('are answered all the same', async () => {
    const replica = ledger.connect('replica-1', { poolSize: 1 });
    const { lease } = await open(replica);
    for (let mask = 0; mask < 256; mask++) {
      const states = LEASE_STATES.filter((_, n) => mask & (1 << n));
      const agentId = mask & 64 ? { agentId: lease.agentId } : {};
      const owner = mask & 128 ? { owner: lease.owner } : {};
      const { items } = await replica.leases({ states, ...agentId, ...owner }, 10, null);
      expect(items).toHaveLength(states.includes('minting') ? 1 : 0);
    }
    const [row] = await ledger.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity where application_name = 'mayfly'`,
    );
    expect(row?.count).toBe(1);
  });
});
