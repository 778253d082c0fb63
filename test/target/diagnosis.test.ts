import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { diagnoseTarget } from '../../src/target/postgres/diagnosis.ts';
import type { DiagnosedTarget } from '../../src/target/postgres/diagnosis.ts';
import type { Finding, Severity } from '../../src/target/postgres/finding.ts';
import { buildWorld, creation, ids, secret, startServer } from './support/target-world.ts';
import type { Server, World } from './support/target-world.ts';

let server: Server;
let world: World;
let healthy: DiagnosedTarget;

const RESERVED = { reserved_connections: '4' };

function asApplied(of: World): DiagnosedTarget {
  return {
    config: of.config,
    admin: of.plan.admin.username,
    routinesOwner: of.plan.routinesOwner,
    groups: ['orders_read', 'orders_write'],
    declaredReplicas: 0,
    ledger: { now: () => Promise.resolve(systemClock.now()), cluster: '42' },
    rehearse: async (name, group) => {
      await of.openbao.query(await creation(name, secret(), group));
    },
  };
}

beforeAll(async () => {
  server = await startServer(18, RESERVED);
  world = await buildWorld(server);
  healthy = asApplied(world);
}, 60_000);

afterAll(async () => {
  await world.close();
  await server.stop();
});

const diagnose = (target: DiagnosedTarget) => diagnoseTarget(target, systemClock, ids);
const unmet = (findings: readonly Finding[]) => findings.filter(({ ok }) => !ok);

function expectFinding(
  findings: readonly Finding[],
  check: string,
  severity: Severity,
  seen: RegExp,
): void {
  const finding = unmet(findings).find((one) => one.check === check);
  expect(finding).toMatchObject({ severity });
  expect(finding?.seen).toMatch(seen);
  expect(finding?.remedy).not.toBe('');
}

describe('a target as apply leaves it', () => {
  test('meets every demand, and the rehearsal leaves nothing', async () => {
    const findings = await diagnose(healthy);
    expect(unmet(findings)).toEqual([]);
    expect(findings.length).toBeGreaterThan(25);
    expect(await world.access.guard.list()).toEqual([]);
  });
});

/** Each fault by itself: planted, found, and mended. */
describe.each<[string, Severity, RegExp, string, string]>([
  [
    'public_connect',
    'lowers',
    /PUBLIC may CONNECT to database orders/,
    'grant connect on database orders to public',
    'revoke connect on database orders from public',
  ],
  [
    'public_connect',
    'lowers',
    /PUBLIC may CONNECT to database postgres/,
    'grant connect on database postgres to public',
    'revoke connect on database postgres from public',
  ],
  [
    'public_temporary',
    'notice',
    /temporary tables in database orders/,
    'grant temporary on database orders to public',
    'revoke temporary on database orders from public',
  ],
  [
    'public_create',
    'lowers',
    /PUBLIC may CREATE in schema public/,
    'grant create on schema public to public',
    'revoke create on schema public from public',
  ],
  [
    'event_triggers',
    'notice',
    /event trigger watcher on ddl_command_end/,
    `create function public.watch() returns event_trigger language plpgsql as 'begin end';
     create event trigger watcher on ddl_command_end execute function public.watch()`,
    'drop event trigger watcher; drop function public.watch()',
  ],
  [
    'ways_to_outlive_a_session',
    'notice',
    /extension dblink/,
    'create extension dblink with schema public',
    'drop extension dblink',
  ],
  [
    'groups_are_plain',
    'broken',
    /orders_read can log in/,
    'alter role orders_read login',
    'alter role orders_read nologin',
  ],
  [
    'groups_own_nothing',
    'lowers',
    /orders_read owns 1 objects/,
    'create table public.owned (x integer); alter table public.owned owner to orders_read',
    'drop table public.owned',
  ],
  [
    'groups_create_nothing',
    'lowers',
    /orders_read may CREATE in schema work/,
    'grant create on schema work to orders_read',
    'revoke create on schema work from orders_read',
  ],
  [
    'groups_create_nothing',
    'lowers',
    /orders_read may CREATE in database orders/,
    'grant create on database orders to orders_read',
    'revoke create on database orders from orders_read',
  ],
  [
    'groups_connect',
    'broken',
    /orders_read may not CONNECT/,
    'revoke connect on database orders from orders_read',
    'grant connect on database orders to orders_read',
  ],
  [
    'admin_role',
    'broken',
    /is a member of pg_signal_backend/,
    'grant pg_signal_backend to openbao_admin',
    'revoke pg_signal_backend from openbao_admin',
  ],
  [
    'admin_role',
    'broken',
    /is a member of orders_read/,
    'grant orders_read to openbao_admin with admin true, inherit false, set false',
    'revoke orders_read from openbao_admin',
  ],
  [
    'admin_role',
    'broken',
    /has attributes that it does not need/,
    'alter role openbao_admin createrole',
    'alter role openbao_admin nocreaterole',
  ],
  [
    'routines_owner',
    'broken',
    /mayfly_te5t_owner can log in/,
    'alter role mayfly_te5t_owner login',
    'alter role mayfly_te5t_owner nologin',
  ],
  [
    'routines_owner',
    'broken',
    /mayfly_te5t_owner has the member orders_read/,
    'grant mayfly_te5t_owner to orders_read',
    'revoke mayfly_te5t_owner from orders_read',
  ],
  [
    'routines_owner',
    'broken',
    /mayfly_te5t_owner is not a superuser/,
    'alter role mayfly_te5t_owner nosuperuser',
    'alter role mayfly_te5t_owner superuser',
  ],
  [
    'admin_timeouts',
    'lowers',
    /lacks idle_in_transaction_session_timeout=5s/,
    'alter role openbao_admin reset idle_in_transaction_session_timeout',
    `alter role openbao_admin set idle_in_transaction_session_timeout = '5s'`,
  ],
  [
    'guard_login',
    'broken',
    /mayfly_guard is a member of orders_write/,
    'grant orders_write to mayfly_guard',
    'revoke orders_write from mayfly_guard',
  ],
  [
    'prover_login',
    'broken',
    /mayfly_prover has attributes/,
    'alter role mayfly_prover createrole',
    'alter role mayfly_prover nocreaterole',
  ],
  [
    'reserved_connections',
    'notice',
    /no connection is reserved for mayfly_guard/,
    'revoke pg_use_reserved_connections from mayfly_guard',
    'grant pg_use_reserved_connections to mayfly_guard',
  ],
  [
    'schema',
    'broken',
    /function mayfly_te5t.shut is not as it was installed/,
    'alter function mayfly_te5t.shut security invoker',
    'alter function mayfly_te5t.shut security definer',
  ],
  [
    'schema_is_closed',
    'broken',
    /PUBLIC has EXECUTE on mayfly_te5t."end"|PUBLIC has EXECUTE on mayfly_te5t\.end/,
    'grant execute on function mayfly_te5t."end" to public',
    'revoke execute on function mayfly_te5t."end" from public',
  ],
  [
    'rehearsal_end',
    'lowers',
    /nothing is dropped here/,
    `create function public.no() returns event_trigger language plpgsql
       as $$ begin raise exception 'nothing is dropped here'; end $$;
     create event trigger no_cleaning on ddl_command_start when tag in ('DROP OWNED')
       execute function public.no()`,
    'drop event trigger no_cleaning; drop function public.no()',
  ],
])('%s', (check, severity, seen, plant, mend) => {
  test(`finds: ${seen.source}`, async () => {
    await world.root.query(plant);
    try {
      const rehearsed = check === 'rehearsal_end' ? ['orders_write'] : ['orders_read'];
      expectFinding(await diagnose({ ...healthy, groups: rehearsed }), check, severity, seen);
    } finally {
      await world.root.query(mend);
    }
    // What a rehearsal on the faulty target could not end.
    for (const { name } of await world.access.guard.list()) await world.access.guard.end([name]);
  });
});

describe('with all of them mended', () => {
  test('every demand is met again', async () => {
    expect(unmet(await diagnose(healthy))).toEqual([]);
  });
});

describe('what is compared with elsewhere', () => {
  test('a group that does not exist', async () => {
    const findings = await diagnose({ ...healthy, groups: ['nobody_made_it'] });
    expectFinding(findings, 'groups_exist', 'broken', /nobody_made_it does not exist/);
    expectFinding(findings, 'rehearsal_make', 'broken', /this group is not allowed/);
  });

  test('no way to rehearse', async () => {
    const { config, admin, routinesOwner, groups, declaredReplicas, ledger } = healthy;
    const without = { config, admin, routinesOwner, groups, declaredReplicas, ledger };
    expectFinding(await diagnose(without), 'rehearsal_make', 'notice', /no credential was made/);
  });

  test('a ledger on the same cluster', async () => {
    const { rows } = await world.root.query<{ id: string }>(
      'select system_identifier::text as id from pg_control_system()',
    );
    const ledger = { ...healthy.ledger, cluster: rows[0]?.id ?? null };
    expectFinding(await diagnose({ ...healthy, ledger }), 'own_cluster', 'notice', /same cluster/);
  });

  test.each([3_000, -3_000])('clocks that are %i ms apart', async (ms) => {
    const now = () => Promise.resolve(new Date(systemClock.now().getTime() + ms));
    const ledger = { ...healthy.ledger, now };
    expectFinding(await diagnose({ ...healthy, ledger }), 'clocks', 'broken', /-?\d{4} ms/);
  });

  test('a replica that nobody declared', async () => {
    const replica = new pg.Client({
      host: server.host,
      port: server.port,
      user: 'postgres',
      password: server.superuser.reveal(),
      database: 'orders',
      replication: 'database',
    } as pg.ClientConfig);
    replica.on('error', () => undefined);
    await replica.connect();
    expectFinding(await diagnose(healthy), 'endpoints', 'lowers', /1 replicas .* 0 declared/);
    expect(unmet(await diagnose({ ...healthy, declaredReplicas: 1 }))).toEqual([]);
    await replica.end();
  });

  test('a target out of reach is a finding', async () => {
    const config = { ...world.config, port: 1 };
    const findings = await diagnose({ ...healthy, config });
    expectFinding(findings, 'prover_reachable', 'broken', /ECONNREFUSED/);
    expectFinding(findings, 'guard_reachable', 'broken', /ECONNREFUSED/);
  });

  test('a guard with another password is a finding, without the password', async () => {
    const guard = { ...world.config.guard, password: secret() };
    const findings = await diagnose({ ...healthy, config: { ...world.config, guard } });
    expectFinding(findings, 'guard_reachable', 'broken', /password authentication failed/);
    expect(JSON.stringify(findings)).not.toContain(guard.password.reveal());
  });
});

describe('a server with settings that do not do', () => {
  let other: Server;
  let there: World;

  beforeAll(async () => {
    other = await startServer(18, {
      max_prepared_transactions: '5',
      password_encryption: 'md5',
      hba_file: await server.trustingHba(),
    });
    there = await buildWorld(other, { narrowPublic: 'none' });
  }, 60_000);
  afterAll(async () => {
    await there.close();
    await other.stop();
  });

  test('each is found', async () => {
    const findings = await diagnose(asApplied(there));
    expectFinding(findings, 'prepared_transactions', 'lowers', /is 5/);
    expectFinding(findings, 'password_encryption', 'broken', /md5/);
    expectFinding(findings, 'passwords_are_checked', 'broken', /wrong password/);
    expectFinding(findings, 'reserved_connections', 'notice', /no connection is reserved/);
    expectFinding(findings, 'public_connect', 'lowers', /database orders/);
  });
});
