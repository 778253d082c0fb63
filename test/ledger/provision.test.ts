import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { KNOWN_VERSION } from '../../src/ledger/migrations.ts';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import type { Finding } from '../../src/ledger/provision/finding.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { administerLedger } from '../../src/ledger/provision/administer-ledger.ts';
import { ids } from './support/examples.ts';
import { PASSWORDS, silent, startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

let server: LedgerServer;

beforeAll(async () => {
  server = await startLedgerServer();
});
afterAll(async () => {
  await server.stop();
});

describe('setting a ledger up', () => {
  test('the plan says what apply does, and changes nothing', async () => {
    const administration = server.administration('planned');
    const before = await administration.plan();
    expect(before.identity).toBeNull();
    expect(before.steps.find((step) => step.what === 'database planned')?.state).toBe('created');
    expect(await administration.plan()).toEqual(before);

    const applied = await administration.apply();
    expect(applied.identity.installation).toMatch(/^[0-9a-hjkmnp-tv-z]{4}$/);
    const planned = new Map(before.steps.map((step) => [step.what, step.state]));
    for (const step of applied.steps.filter(({ what }) => planned.has(what))) {
      expect(step).toEqual({ where: 'ledger', what: step.what, state: planned.get(step.what) });
    }
  });

  test('a second apply changes nothing', async () => {
    const administration = server.administration('twice');
    const first = await administration.apply();
    const second = await administration.apply();
    expect(second.identity).toEqual(first.identity);
    expect(second.steps.map(({ state }) => state)).toEqual(second.steps.map(() => 'unchanged'));
    expect(await administration.plan()).toEqual({
      steps: second.steps.filter(({ what }) => what !== 'rights of the roles'),
      identity: first.identity,
    });
  });

  test('another password is set, and the ledger stays the same', async () => {
    const first = await server.administration('repassword').apply();
    const other = administerLedger({
      admin: { url: server.adminUrl() },
      database: 'repassword',
      passwords: { ...PASSWORDS, reader: new SecretText('canary-another-password') },
      ids,
      log: silent,
    });
    const second = await other.apply();
    expect(second.identity).toEqual(first.identity);
    expect(second.steps.filter(({ state }) => state !== 'unchanged')).toEqual([
      { where: 'ledger', what: 'password of mayfly_reader', state: 'changed' },
    ]);
    await server.administration('repassword').apply();
  });

  test('an administrator that is no superuser can do it', async () => {
    await asAdmin(
      server,
      'postgres',
      `create role plain login createrole createdb password 'plain'`,
    );
    const url = new SecretText(
      server
        .adminUrl()
        .reveal()
        .replace(/postgres:[^@]*@/, 'plain:plain@'),
    );
    for (const role of ['mayfly_owner', 'mayfly_app', 'mayfly_reader']) {
      await asAdmin(server, 'postgres', `grant ${role} to plain with admin option`);
    }
    const administration = administerLedger({
      admin: { url },
      database: 'by_plain',
      passwords: PASSWORDS,
      ids,
      log: silent,
    });
    const { identity } = await administration.apply();
    expect((await administration.plan()).identity).toEqual(identity);
  });

  test('no password stands in a statement that the server logs', async () => {
    await asAdmin(server, 'postgres', `alter system set log_statement = 'all'`);
    await asAdmin(server, 'postgres', 'select pg_reload_conf()');
    const fresh = new SecretText('canary-fresh-password');
    const passwords = { ...PASSWORDS, reader: fresh };
    const admin = { url: server.adminUrl() };
    await administerLedger({ admin, database: 'logged', passwords, ids, log: silent }).apply();
    await server.administration('logged').apply();
    const log = await readFile(server.postgres.logFile, 'utf8');
    expect(log).toContain('alter role "mayfly_reader" password');
    expect(log).not.toContain('canary-');
    await asAdmin(server, 'postgres', 'alter system reset log_statement');
    await asAdmin(server, 'postgres', 'select pg_reload_conf()');
  });
});

describe('doctor', () => {
  let ledger: TestLedger;

  beforeAll(async () => {
    ledger = await server.ledger();
  });

  test('finds nothing wrong with what apply made, but that it is not durable', async () => {
    const findings = await ledger.administration.diagnose();
    expect(findings.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual(['ledger_durable']);
    expect(findings.length).toBeGreaterThan(10);
  });

  const faults = [
    [
      'ledger_audit_append_only',
      'grant delete on mayfly.audit_event to mayfly_app',
      'revoke delete on mayfly.audit_event from mayfly_app',
    ],
    [
      'ledger_audit_append_only',
      'alter table mayfly.audit_event disable trigger audit_event_is_final',
      'alter table mayfly.audit_event enable trigger audit_event_is_final',
    ],
    [
      'ledger_memberships',
      'grant mayfly_owner to mayfly_app',
      'revoke mayfly_owner from mayfly_app',
    ],
    ['ledger_roles', 'alter role mayfly_app createrole', 'alter role mayfly_app nocreaterole'],
    [
      'ledger_app_rights',
      'revoke insert on mayfly.lease from mayfly_app',
      'grant insert on mayfly.lease to mayfly_app',
    ],
    [
      'ledger_app_rights',
      'grant update on mayfly.lease to mayfly_app',
      'revoke update on mayfly.lease from mayfly_app',
    ],
    [
      'ledger_owner',
      'alter table mayfly.opening owner to postgres',
      'alter table mayfly.opening owner to mayfly_owner',
    ],
    [
      'ledger_public',
      'grant select on mayfly.lease to public',
      'revoke select on mayfly.lease from public',
    ],
    [
      'ledger_schema',
      `delete from mayfly.schema_migration where version = ${KNOWN_VERSION}`,
      `insert into mayfly.schema_migration (version, file, checksum, min_reader)
       values (${KNOWN_VERSION}, '', '', 1)`,
    ],
    ['ledger_login_app', 'alter role mayfly_app nologin', 'alter role mayfly_app login'],
    ['ledger_durable', 'select 1', 'select 1'],
  ] as const;

  test.each(faults)('%s: %s', async (check, plant, undo) => {
    await asAdmin(server, ledger.database, plant);
    const found = (await ledger.administration.diagnose()).filter(
      (finding: Finding) => !finding.ok,
    );
    await asAdmin(server, ledger.database, undo);
    const finding = found.find((candidate) => candidate.check === check);
    expect(finding?.severity).toBe('error');
    expect(finding?.remedy).not.toBe('');
    expect(finding?.seen).not.toBe('');
  });

  test('PUBLIC on the database', async () => {
    await asAdmin(server, 'postgres', `grant connect on database ${ledger.database} to public`);
    const findings = await ledger.administration.diagnose();
    await asAdmin(server, 'postgres', `revoke connect on database ${ledger.database} from public`);
    expect(findings.find(({ check }) => check === 'ledger_public')?.ok).toBe(false);
  });
});

async function asAdmin(on: LedgerServer, database: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: on.adminUrl(database).reveal() });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
