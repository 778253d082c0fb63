import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { TargetInstallation } from '../../src/target/postgres/installation-plan.ts';
import { installTarget, planTarget } from '../../src/target/postgres/install.ts';
import { expectGone } from './support/expect-dead.ts';
import { hasPostgres15 } from './support/debian-postgres.ts';
import { buildWorld, ids, mint, secret, startServer } from './support/target-world.ts';
import type { Server, World } from './support/target-world.ts';

const versions = hasPostgres15 ? ([18, 15] as const) : ([18] as const);

describe.each(versions)('installing at Postgres %i', (version) => {
  let server: Server;
  let world: World;

  beforeAll(async () => {
    server = await startServer(version, { log_statement: 'all' });
    world = await buildWorld(server);
  }, 60_000);

  afterAll(async () => {
    await world.close();
    await server.stop();
  });

  const apply = (changes: Partial<TargetInstallation> = {}) =>
    installTarget(world.root, { ...world.plan, ...changes }, ids);
  const changed = async (outcome: ReturnType<typeof installTarget>) => {
    const result = await outcome;
    if (!result.ok) throw new Error(result.failure.detail);
    return result.value.filter(({ state }) => state !== 'unchanged');
  };

  test('a second run changes nothing and says so', async () => {
    expect(await changed(apply())).toEqual([]);
    const again = await apply();
    if (!again.ok) throw new Error('refused');
    expect(again.value.length).toBeGreaterThan(40);
  });

  test('a plan says what would change, and changes nothing', async () => {
    const groups = [{ name: 'orders_read', connectionLimit: 3 }];
    const wanted = [
      { what: 'group orders_read may be handed out', state: 'changed' },
      { what: 'no other group may be handed out', state: 'changed' },
    ];
    expect(await changed(planTarget(world.root, { ...world.plan, groups }, ids))).toEqual(wanted);
    expect(await changed(apply())).toEqual([]);
    expect(await changed(apply({ groups }))).toEqual(wanted);
    await expect(mint(world, 'orders_write')).rejects.toMatchObject({ code: 'MF004' });
    await apply();
    const { name } = await mint(world, 'orders_write');
    await expectGone(world, name);
  });

  test('what somebody changed is put right', async () => {
    await world.root.query(`
      alter role openbao_admin reset lock_timeout;
      grant connect on database orders to public;
      grant execute on function mayfly_te5t.list to public;
      create or replace function mayfly_te5t.kick(victims oid[], patience_ms integer) returns oid[]
        language sql as 'select victims'`);
    expect(await changed(apply())).toEqual([
      { what: 'lock_timeout of openbao_admin', state: 'changed' },
      { what: 'no CONNECT on database orders for PUBLIC', state: 'changed' },
      { what: 'function mayfly_te5t.kick', state: 'changed' },
      {
        what: 'list is only for mayfly_te5t_owner and mayfly_guard',
        state: 'changed',
      },
    ]);
    const { name, password } = await mint(world);
    await world.connect(name, password);
    await expectGone(world, name);
  });

  test('a new guard password is set, and is in no log', async () => {
    const guard = { ...world.plan.guard, password: secret() };
    expect(await changed(apply({ guard }))).toEqual([
      { what: 'password of mayfly_guard', state: 'changed' },
    ]);
    const session = await world.connect(guard.username, guard.password);
    await session.end();
    await apply();
    const log = await server.log();
    expect(log).toContain('alter role "mayfly_guard" password');
    expect(log).not.toContain(guard.password.reveal());
    expect(log).not.toContain(world.plan.admin.password.reveal());
  });

  test.each([
    ['another ledger', { ledger: 'another' }, /made by another ledger/],
    ['another database', { database: 'elsewhere' }, /target's database is elsewhere/],
    [
      'a group that nobody made',
      { groups: [{ name: 'nobody_made_it', connectionLimit: 1 }] },
      /create role nobody_made_it nologin/,
    ],
    [
      'a superuser as one of its logins',
      { prover: { username: 'postgres', password: secret() } },
      /role postgres has attributes/,
    ],
  ] as const)('refuses %s, and touches nothing', async (_what, changes, detail) => {
    const outcome = await apply(changes);
    expect(outcome).toMatchObject({ ok: false });
    if (!outcome.ok) expect(outcome.failure.detail).toMatch(detail);
    expect(await changed(apply())).toEqual([]);
  });

  test('a step that fails leaves nothing behind', async () => {
    const guard = { username: 'pg_not_allowed', password: secret() };
    await expect(apply({ guard })).rejects.toThrow(/reserved/);
    expect(await changed(apply())).toEqual([]);
  });

  describe('during a holder’s life', () => {
    // Whatever failed, the next test finds all groups.
    afterEach(() => apply());

    /** A credential that has made a table, and what becomes of the table when it is ended. */
    const holderOf = async (table: string) => {
      const { name, password } = await mint(world, 'orders_write');
      const session = await world.connect(name, password);
      await session.query(`create table work.${table} as select 1 as x`);
      await session.end();
      const heirOnceGone = async () => {
        await expectGone(world, name);
        const { rows } = await world.root.query<{ owner: string }>(
          `select relowner::regrole::text as owner from pg_class where oid = to_regclass($1)`,
          [`work.${table}`],
        );
        return rows.map(({ owner }) => owner);
      };
      return { name, heirOnceGone };
    };
    const READ_ONLY = [{ name: 'orders_read', connectionLimit: 3 }];
    const ESTATE = ['mayfly_te5t_estate_orders_write'];

    test.each([
      ['its group', 'left_group', READ_ONLY],
      ['creates_in', 'left_right', [...READ_ONLY, { name: 'orders_write', connectionLimit: 3 }]],
    ])('what he made survives although %s went before him', async (_what, table, groups) => {
      const { heirOnceGone } = await holderOf(table);
      await apply({ groups });
      expect(await changed(apply({ groups }))).toEqual([]);
      expect(await heirOnceGone()).toEqual(ESTATE);
    });

    test('a schema of before the estate was kept with each name gets it, once', async () => {
      const { heirOnceGone } = await holderOf('made_before');
      await world.root.query('alter table mayfly_te5t.name drop column estate');
      const column = { what: 'mayfly_te5t.name.estate', state: 'created' };
      expect(await changed(planTarget(world.root, world.plan, ids))).toEqual([column]);
      expect(await changed(apply({ groups: READ_ONLY }))).toContainEqual(column);
      expect(await changed(apply({ groups: READ_ONLY }))).toEqual([]);
      expect(await heirOnceGone()).toEqual(ESTATE);
    });

    test('a name that an older make wrote goes by what its group has now', async () => {
      const { name, heirOnceGone } = await holderOf('made_by_older');
      await world.root.query('update mayfly_te5t.name set estate = null where name = $1', [name]);
      expect(await heirOnceGone()).toEqual(ESTATE);
    });
  });
});
