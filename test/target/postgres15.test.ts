import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { diagnoseTarget } from '../../src/target/postgres/diagnosis.ts';
import { scramVerifier } from '../../src/target/postgres/scram.ts';
import { hasPostgres15 } from './support/debian-postgres.ts';
import { expectGone } from './support/expect-dead.ts';
import { besiege, canLogIn, established } from './support/hostile.ts';
import { NAIVE, naiveRevoke } from './support/naive-revoke.ts';
import { PATIENCE_MS, eachRound } from './support/rounds.ts';
import {
  buildWorld,
  creation,
  ids,
  mint,
  newName,
  secret,
  startServer,
} from './support/target-world.ts';
import type { Credential, Server, World } from './support/target-world.ts';

const there = hasPostgres15 ? describe : describe.skip;

/** Before 16, memberships had no options. */
there('on Postgres 15 (skipped where Debian’s postgresql-15 is not installed)', () => {
  let server: Server;
  let world: World;

  beforeAll(async () => {
    server = await startServer(15);
    world = await buildWorld(server);
  }, 60_000);

  afterAll(async () => {
    await world.close();
    await server.stop();
  });

  const act = async ({ name, password }: Credential, sql: string) => {
    const session = await world.connect(name, password);
    await session.query(sql);
    await session.end();
  };

  test('a credential is made, used and ended', async () => {
    const { name, password } = await mint(world);
    const session = await world.connect(name, password);
    expect((await session.query('select from public.orders')).rowCount).toBe(500);
    await expectGone(world, name);
  });

  test('closed before it was made', async () => {
    const name = newName();
    await world.access.guard.end([name]);
    await expect(mint(world, 'orders_read', name)).rejects.toMatchObject({ code: 'MF003' });
  });

  test(
    'tuple lock in two loops',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        const verifier = await scramVerifier(credential.password, ids.password());
        const siege = besiege(world, credential, 2, async (session: pg.Client, there) => {
          await session.query('begin');
          await session.query(`alter role current_user password '${verifier}'`);
          there();
          await systemClock.sleep(500);
          await session.query('commit');
        });
        try {
          await established(siege, 1);
          const naive = await naiveRevoke(world, credential.name, NAIVE.terminateAndDrop);
          expect(naive.error).toMatch(/lock timeout|concurrently updated/);
          await established(siege, siege.reached() + 1);
          await expectGone(world, credential.name);
        } finally {
          await siege.stop();
        }
      });
    },
    PATIENCE_MS,
  );

  test('it cannot grant itself to another agent', async () => {
    const [attacker, heir] = [await mint(world, 'orders_write'), await mint(world)];
    const grant = `grant "${attacker.name}" to "${heir.name}"`;
    await expect(act(attacker, grant)).rejects.toThrow(/must have admin option/);
    await expectGone(world, attacker.name);
    await expectGone(world, heir.name);
  });

  test('what it owned goes to the estate role, and its routines go away', async () => {
    const credential = await mint(world, 'orders_write');
    await act(
      credential,
      `create table work.made as select 1 as x;
       create function work.door() returns bigint language sql security definer
         as 'select sum(amount) from public.orders'`,
    );
    await expectGone(world, credential.name);
    const { rows } = await world.root.query(
      `select relowner::regrole::text as owner, to_regproc('work.door') as door
         from pg_class where oid = 'work.made'::regclass`,
    );
    expect(rows).toEqual([{ owner: 'mayfly_te5t_estate_orders_write', door: null }]);
  });

  test('set role leftover: a group that may CREATE is found by doctor', async () => {
    const diagnose = () =>
      diagnoseTarget(
        {
          config: world.config,
          admin: world.plan.admin.username,
          routinesOwner: world.plan.routinesOwner,
          groups: ['orders_read', 'orders_write'],
          declaredReplicas: 0,
          ledger: { now: () => Promise.resolve(systemClock.now()), cluster: null },
          rehearse: async (name, group) => {
            await world.openbao.query(await creation(name, secret(), group));
          },
        },
        systemClock,
        ids,
      );
    expect((await diagnose()).filter(({ ok }) => !ok)).toEqual([]);
    await world.root.query('grant create on schema work to orders_read');
    const credential = await mint(world);
    await act(credential, 'set role orders_read; create table work.left_behind (x integer)');
    await expectGone(world, credential.name);
    const unmet = (await diagnose()).filter(({ ok }) => !ok).map(({ check }) => check);
    expect(unmet).toEqual(['groups_own_nothing', 'groups_create_nothing']);
  });

  test('a naive revoke leaves the user that could not be dropped', async () => {
    const credential = await mint(world);
    await act(credential, 'select lo_create(0)');
    const { error } = await naiveRevoke(world, credential.name, NAIVE.terminateAndDrop);
    expect(error).toMatch(/depend on it/);
    expect(await canLogIn(world, credential)).toBe(true);
    await expectGone(world, credential.name);
  });
});
