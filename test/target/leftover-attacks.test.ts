import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { expectGone, expectResidue } from './support/expect-dead.ts';
import { canLogIn } from './support/hostile.ts';
import { NAIVE, naiveRevoke } from './support/naive-revoke.ts';
import { PATIENCE_MS, eachRound } from './support/rounds.ts';
import { buildWorld, mint, newName, secret, startServer } from './support/target-world.ts';
import type { Credential, Server, World } from './support/target-world.ts';

let server: Server;
let world: World;

beforeAll(async () => {
  server = await startServer(18);
  world = await buildWorld(server);
}, 60_000);

afterAll(async () => {
  await world.close();
  await server.stop();
});

async function act({ name, password }: Credential, sql: string, database?: string) {
  const session = await world.connect(name, password, database);
  const { rows } = await session.query<Record<string, string>>(sql);
  await session.end();
  return rows;
}

/** The naive statements fail, everything is rolled back, and the credential lives on. */
async function expectNaiveFails(credential: Credential, statements: readonly string[]) {
  const { error } = await naiveRevoke(world, credential.name, statements);
  expect(error).not.toBeNull();
  expect(await canLogIn(world, credential)).toBe(true);
  await world.access.guard.end([credential.name]);
}

describe('owned table', () => {
  test(
    'goes to the estate role, without the grants on it',
    async () => {
      await eachRound(async (round) => {
        const credential = await mint(world, 'orders_write');
        await act(
          credential,
          `create table work.made_${round} as select 1 as x;
           grant select on work.made_${round} to public`,
        );
        await expectGone(world, credential.name);
        const { rows } = await world.root.query(
          `select relowner::regrole::text as owner,
             exists (select from aclexplode(relacl) where grantee <> relowner) as granted
             from pg_class where oid = 'work.made_${round}'::regclass`,
        );
        expect(rows).toEqual([{ owner: 'mayfly_te5t_estate_orders_write', granted: false }]);
      });
    },
    PATIENCE_MS,
  );

  test('makes a naive revoke fail', async () => {
    const credential = await mint(world, 'orders_write');
    await act(credential, 'create table work.naive as select 1 as x');
    await expectNaiveFails(credential, NAIVE.terminateAndDrop);
  });

  test('a scope that creates nowhere cannot create', async () => {
    const credential = await mint(world, 'orders_read');
    for (const sql of [
      'create table work.t (x integer)',
      'create table public.t (x integer)',
      'create temp table t (x integer)',
      'create schema mine',
    ]) {
      await expect(act(credential, sql)).rejects.toThrow(/permission denied/);
    }
    await expectGone(world, credential.name);
  });
});

describe('large object', () => {
  test(
    'here: it is removed',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        const [made] = await act(credential, 'select lo_create(0)::text as id');
        await expectGone(world, credential.name);
        const left = await world.root.query('select from pg_largeobject_metadata where oid = $1', [
          made?.['id'],
        ]);
        expect(left.rowCount).toBe(0);
      });
    },
    PATIENCE_MS,
  );

  test('many of them are removed in several calls, and the credential is dead after the first', async () => {
    const credential = await mint(world);
    await act(credential, 'select count(lo_create(0)) from generate_series(1, 1200)');
    await expectResidue(world, credential.name, /many large objects/);
    for (let call = 0; call < 2; call++) await world.access.guard.end([credential.name]);
    await expectGone(world, credential.name);
  });

  test(
    'in another database of the cluster: dead, with residue until it is removed there',
    async () => {
      await world.root.query('drop database if exists other');
      await world.root.query('create database other');
      await world.root.query('revoke connect on database other from public');
      await world.root.query('grant connect on database other to orders_read');
      const elsewhere = await world.connect('postgres', server.superuser, 'other');
      await eachRound(async () => {
        const credential = await mint(world);
        const [made] = await act(credential, 'select lo_create(0)::text as id', 'other');
        await expectResidue(world, credential.name, /in database other/);
        await elsewhere.query(`select lo_unlink(${made?.['id']})`);
        await expectGone(world, credential.name);
      });
      await elsewhere.end();
    },
    PATIENCE_MS,
  );

  test('makes a naive revoke fail', async () => {
    const credential = await mint(world);
    await act(credential, 'select lo_create(0)');
    await expectNaiveFails(credential, NAIVE.terminateAndDrop);
  });
});

describe('more leftovers than one call can remove', () => {
  const TABLES = 600;
  const GRANTEES = 100;
  /** Milliseconds within which a call is answered: far below what the server lets one take. */
  const CALL_MS = 5_000;
  beforeAll(() =>
    world.root.query(`do $$ begin
      for i in 1..${GRANTEES} loop execute 'create role grantee_' || i; end loop; end $$`),
  );

  /** Grants that, revoked one by one, took longer than a call may. */
  const leaveGrants = (credential: Credential, prefix: string) =>
    act(
      credential,
      `do $$
       declare grantees text :=
         (select string_agg('grantee_' || i, ', ') from generate_series(1, ${GRANTEES}) i);
       begin
         for i in 1..${TABLES} loop
           execute 'create table work.${prefix}_' || i || ' (x integer)';
           execute 'grant select on work.${prefix}_' || i || ' to ' || grantees;
         end loop;
       end $$`,
    );
  const endUntilGone = async (name: string) => {
    for (let calls = 0; calls < 10; calls++) {
      const [ending] = await world.access.guard.end([name]);
      if (ending?.residue === null) return expectGone(world, name);
      expect(ending).toMatchObject({ ended: true });
    }
    throw new Error('something was left for ever');
  };
  const timed = async (work: Promise<unknown>) => {
    const begun = systemClock.monotonicMs();
    await work;
    expect(systemClock.monotonicMs() - begun).toBeLessThan(CALL_MS);
  };

  test('grants: dead after the first call, which is soon answered, and gone after some more', async () => {
    const credential = await mint(world, 'orders_write');
    await leaveGrants(credential, 'granted');
    await timed(expectResidue(world, credential.name, /many grants/));
    await endUntilGone(credential.name);
    const { rows } = await world.root.query(
      `select count(*)::int as tables, bool_or(exists
           (select from aclexplode(relacl) where grantee <> relowner)) as granted
         from pg_class where relname like 'granted\\_%'
           and relowner = 'mayfly_te5t_estate_orders_write'::regrole`,
    );
    expect(rows).toEqual([{ tables: TABLES, granted: false }]);
  }, 60_000);

  test('routines, some of which go with others', async () => {
    const credential = await mint(world, 'orders_write');
    await act(
      credential,
      `do $$ begin
         for i in 1..300 loop
           execute format('create function work.base_%s() returns integer return 1', i);
           execute format('create function work.over_%s() returns integer return work.base_%s()', i, i);
         end loop;
       end $$`,
    );
    await timed(world.access.guard.end([credential.name]));
    await endUntilGone(credential.name);
  }, 60_000);

  test('several such names and others in one call: all are dead, and the others gone', async () => {
    const hoarders = [await mint(world, 'orders_write'), await mint(world, 'orders_write')];
    for (const [index, hoarder] of hoarders.entries()) await leaveGrants(hoarder, `hoard_${index}`);
    const others = [await mint(world), await mint(world, 'orders_write')];
    const names = [...hoarders, ...others].map(({ name }) => name);
    const ending = world.access.guard.end(names);
    await timed(ending);
    const [one, two, ...rest] = await ending;
    for (const left of [one, two]) {
      expect(left).toMatchObject({ ended: true, residue: expect.stringMatching(/many grants/) });
    }
    for (const gone of rest) expect(gone).toMatchObject({ ended: true, residue: null });
    for (const { name } of hoarders) await endUntilGone(name);
  }, 60_000);

  test('a single statement that takes longer than a call may: dead, with that as the reason', async () => {
    await world.root.query(`
      create function public.slow_cleaning() returns event_trigger language plpgsql
        as $$ begin perform pg_sleep(30); end $$;
      create event trigger slow_cleaning on ddl_command_start when tag in ('DROP OWNED')
        execute function public.slow_cleaning()`);
    const credential = await mint(world);
    const other = await mint(world);
    await act(credential, 'select lo_create(0)');
    const { username, password } = world.plan.guard;
    const guard = await world.connect(username, password);
    try {
      await guard.query(`set statement_timeout = '1s'`);
      const { rows } = await guard.query<{ answer: { names: { name: string }[] } }>(
        `call mayfly_te5t.finish($1, 1, null)`,
        [[credential.name, other.name]],
      );
      const answers = new Map(rows[0]?.answer.names.map((answer) => [answer.name, answer]));
      const reason = expect.stringMatching(/statement timeout/) as unknown;
      expect(answers.get(credential.name)).toMatchObject({
        ended: true,
        state: 'disabled',
        reason,
      });
      expect(answers.get(other.name)).toMatchObject({ ended: true, state: 'gone' });
      expect(await canLogIn(world, credential)).toBe(false);
    } finally {
      await guard.end();
      await world.root.query(
        'drop event trigger slow_cleaning; drop function public.slow_cleaning()',
      );
    }
    await expectGone(world, credential.name);
  }, 60_000);
});

describe("pinning another agent's role", () => {
  const pin = async (attacker: Credential, victim: Credential) => {
    const [made] = await act(attacker, 'select lo_create(0)::text as id');
    await act(attacker, `grant select on large object ${made?.['id']} to "${victim.name}"`);
  };

  test(
    'the pinned one is gone at once',
    async () => {
      await eachRound(async () => {
        const [attacker, victim] = [await mint(world), await mint(world)];
        await pin(attacker, victim);
        await expectGone(world, victim.name);
        await expectGone(world, attacker.name);
      });
    },
    PATIENCE_MS,
  );

  test('makes a naive revoke of the other fail', async () => {
    const [attacker, victim] = [await mint(world), await mint(world)];
    await pin(attacker, victim);
    await expectNaiveFails(victim, NAIVE.terminateAndDrop);
    await world.access.guard.end([attacker.name]);
  });
});

describe('security-definer leftover', () => {
  const LEAVE = `
    create function work.open_door() returns bigint language sql security definer
      as 'select sum(amount) from public.orders';
    create view work.open_window as select * from public.orders;
    grant select on work.open_window to public`;
  let stranger: pg.Client;

  beforeAll(async () => {
    const password = secret();
    await world.root.query(`create role stranger login password '${password.reveal()}'`);
    await world.root.query('grant connect on database orders to stranger');
    await world.root.query('grant usage on schema work to stranger');
    stranger = await world.connect('stranger', password);
  });
  afterAll(() => stranger.end());

  test(
    'nothing that it left works for an unrelated login',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world, 'orders_write');
        await act(credential, LEAVE);
        expect((await stranger.query('select work.open_door()')).rowCount).toBe(1);
        await expectGone(world, credential.name);
        await expect(stranger.query('select work.open_door()')).rejects.toThrow(/does not exist/);
        await expect(stranger.query('select * from work.open_window')).rejects.toThrow(/denied/);
        await world.root.query('drop view work.open_window');
      });
    },
    PATIENCE_MS,
  );

  test('what a naive revoke hands to the group lets an unrelated login read everything', async () => {
    const credential = await mint(world, 'orders_write');
    await act(credential, LEAVE);
    await world.root.query('grant orders_write to openbao_admin with inherit true, set true');
    await world.root.query('grant create on schema work to orders_write');
    const { error } = await naiveRevoke(world, credential.name, NAIVE.reassignToGroup);
    expect(error).toBeNull();
    expect((await stranger.query('select work.open_door()')).rowCount).toBe(1);
    expect((await stranger.query('select * from work.open_window')).rowCount).toBe(500);
    await world.root.query('revoke create on schema work from orders_write');
    await world.root.query('drop function work.open_door; drop view work.open_window');
  });
});

describe('set role leftover', () => {
  beforeAll(() => world.root.query('grant create on schema work to orders_write'));
  afterAll(() => world.root.query('revoke create on schema work from orders_write'));

  test(
    'a holder cannot become the group',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world, 'orders_write');
        await expect(act(credential, 'set role orders_write')).rejects.toThrow(/permission denied/);
        await expectGone(world, credential.name);
      });
    },
    PATIENCE_MS,
  );

  test('with an ordinary grant he does, and what he makes outlives a naive revoke', async () => {
    const credential = { name: newName(), password: secret() };
    await world.root.query(
      `create role "${credential.name}" login in role orders_write
         password '${credential.password.reveal()}'`,
    );
    await act(credential, 'set role orders_write; create table work.stays (x integer)');
    expect((await naiveRevoke(world, credential.name, NAIVE.terminateAndDrop)).error).toBeNull();
    expect((await world.root.query('select * from work.stays')).rowCount).toBe(0);
    await world.root.query('drop table work.stays');
  });
});

describe('default privileges', () => {
  const leave = (credential: Credential) =>
    act(credential, 'alter default privileges grant select on tables to public');

  test(
    'are removed with the role',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        await leave(credential);
        await expectGone(world, credential.name);
      });
    },
    PATIENCE_MS,
  );

  test('make a naive revoke fail', async () => {
    const credential = await mint(world);
    await leave(credential);
    await expectNaiveFails(credential, NAIVE.terminateAndDrop);
  });
});

describe('event trigger', () => {
  beforeAll(() =>
    world.root.query(`
      create function public.no_cleaning() returns event_trigger language plpgsql
        as $$ begin raise exception 'nothing is dropped here'; end $$;
      create event trigger no_cleaning on ddl_command_start when tag in ('DROP OWNED')
        execute function public.no_cleaning()`),
  );
  afterAll(() =>
    world.root.query('drop event trigger no_cleaning; drop function public.no_cleaning()'),
  );
  const leave = (credential: Credential) => act(credential, 'select lo_create(0)');

  test(
    'the credential is dead, with residue that names the reason',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        await leave(credential);
        await expectResidue(world, credential.name, /nothing is dropped here/);
        expect(await canLogIn(world, credential)).toBe(false);
      });
    },
    PATIENCE_MS,
  );

  test('makes a naive revoke fail', async () => {
    const credential = await mint(world);
    await leave(credential);
    const { error } = await naiveRevoke(world, credential.name, NAIVE.dropOwned);
    expect(error).toMatch(/nothing is dropped here/);
    expect(await canLogIn(world, credential)).toBe(true);
    await world.access.guard.end([credential.name]);
  });
});
