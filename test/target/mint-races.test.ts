import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { connectTarget } from '../../src/target/postgres/connect-target.ts';
import { encodeName } from '../../src/target/credential-name.ts';
import { revocationStatements } from '../../src/target/postgres/statements.ts';
import { endAndJudge, expectGone } from './support/expect-dead.ts';
import { canLogIn } from './support/hostile.ts';
import { naiveRevoke } from './support/naive-revoke.ts';
import { PATIENCE_MS, eachRound } from './support/rounds.ts';
import {
  INSTALLATION,
  buildWorld,
  creation,
  ids,
  mint,
  newName,
  secret,
  seen,
  startServer,
} from './support/target-world.ts';
import type { Server, World } from './support/target-world.ts';

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

describe('the commit of a mint', () => {
  const of = async (setting: string) => {
    const { rows } = await world.openbao.query<{ value: string }>(
      'select current_setting($1) as value',
      [setting],
    );
    return rows[0]?.value;
  };

  test('does not wait for the disk, and what the same login commits next does', async () => {
    await world.openbao.query('set synchronous_commit = on');
    await world.openbao.query('begin');
    const name = newName();
    await world.openbao.query(await creation(name, secret()));
    expect(await of('synchronous_commit')).toBe('off');
    await world.openbao.query('commit');
    expect(await of('synchronous_commit')).toBe('on');
    await world.access.guard.end([name]);
  });

  test('waits like every other where there are synchronous standbys', async () => {
    await world.root.query("alter system set synchronous_standby_names = 'away'");
    await world.root.query('select pg_reload_conf()');
    try {
      while ((await of('synchronous_standby_names')) === '') await systemClock.sleep(10);
      await world.openbao.query('set synchronous_commit = on');
      await world.openbao.query('begin');
      await world.openbao.query(await creation(newName(), secret()));
      expect(await of('synchronous_commit')).toBe('on');
      await world.openbao.query('rollback');
    } finally {
      await world.root.query('alter system reset synchronous_standby_names');
      await world.root.query('select pg_reload_conf()');
    }
  });
});

describe('mint finishing after the end', () => {
  test(
    'a mint that is sent after the end is refused',
    async () => {
      await eachRound(async () => {
        const name = newName();
        const [ending] = await world.access.guard.end([name]);
        expect(ending).toMatchObject({ closing: 'nothing', ended: true, oid: null });
        await expect(mint(world, 'orders_read', name)).rejects.toMatchObject({ code: 'MF003' });
        expect(await seen(world, name, null)).toMatchObject({ role: false });
      });
    },
    PATIENCE_MS,
  );

  test(
    'a mint that is under way is answered as such, and ended when it has committed',
    async () => {
      await eachRound(async () => {
        const [name, password] = [newName(), secret()];
        await world.openbao.query('begin');
        await world.openbao.query(await creation(name, password));
        const [ending] = await world.access.guard.end([name]);
        expect(ending).toMatchObject({ closing: 'in_flight', ended: false, oid: null });
        await world.openbao.query('commit');
        expect(await canLogIn(world, { name, password })).toBe(true);
        await expectGone(world, name);
      });
    },
    PATIENCE_MS,
  );

  test(
    'a mint that commits while the end waits for it is ended in the same call',
    async () => {
      await eachRound(async () => {
        const name = newName();
        await world.openbao.query('begin');
        await world.openbao.query(await creation(name, secret()));
        const gone = expectGone(world, name);
        await systemClock.sleep(50);
        await world.openbao.query('commit');
        await gone;
      });
    },
    PATIENCE_MS,
  );

  test('a mint that commits later than one lock time-out is ended in the same call', async () => {
    const name = newName();
    await world.openbao.query('begin');
    await world.openbao.query(await creation(name, secret()));
    const gone = expectGone(world, name);
    await systemClock.sleep(300);
    await world.openbao.query('commit');
    await gone;
  });

  test('a mint that is rolled back while the end waits was never there', async () => {
    const name = newName();
    await world.openbao.query('begin');
    await world.openbao.query(await creation(name, secret()));
    const ending = world.access.guard.end([name]);
    await systemClock.sleep(50);
    await world.openbao.query('rollback');
    expect(await ending).toMatchObject([{ closing: 'nothing', ended: true }]);
    await expect(mint(world, 'orders_read', name)).rejects.toMatchObject({ code: 'MF003' });
  });

  test('a naive revoke finds nothing, and the user appears afterwards', async () => {
    const [name, password] = [newName(), secret()];
    expect(await naiveRevoke(world, name, ['drop role if exists "{{name}}"'])).toEqual({
      error: null,
    });
    await world.root.query(`create role "${name}" login password '${password.reveal()}'
      in role orders_read`);
    expect(await canLogIn(world, { name, password })).toBe(true);
    await expectGone(world, name);
  });
});

describe('OpenBao stopped inside its transaction', () => {
  // Apply says 5 s; with a shorter one the test says the same, sooner.
  const timeout = (value: string) =>
    world.root.query(
      `alter role openbao_admin set idle_in_transaction_session_timeout = '${value}'`,
    );
  beforeAll(() => timeout('1s'));
  afterAll(() => timeout('5s'));

  test('the target gives its half-made user up by itself, and the name stays closed', async () => {
    const stopped = await world.connect(world.plan.admin.username, world.plan.admin.password);
    const name = newName();
    await stopped.query('begin');
    await stopped.query(await creation(name, secret()));
    const begun = systemClock.monotonicMs();
    let [ending] = await world.access.guard.end([name]);
    expect(ending).toMatchObject({ closing: 'in_flight', ended: false });
    while (ending?.ended !== true) [ending] = await world.access.guard.end([name]);
    expect(ending).toMatchObject({ closing: 'nothing', oid: null });
    expect(systemClock.monotonicMs() - begun).toBeLessThan(2_500);
    await expect(stopped.query('commit')).rejects.toThrow();
    await stopped.end().catch(() => undefined);
  });

  test('nobody else waits for it: others of the same group are minted and ended', async () => {
    const stopped = await world.connect(world.plan.admin.username, world.plan.admin.password);
    const others = await Promise.all(Array.from({ length: 30 }, () => mint(world)));
    const name = newName();
    await stopped.query('begin');
    await stopped.query(await creation(name, secret()));
    const begun = systemClock.monotonicMs();
    const held = world.access.guard.end([name]);
    const endings = await Promise.all(others.map((other) => world.access.guard.end([other.name])));
    expect(systemClock.monotonicMs() - begun).toBeLessThan(1_500);
    expect(endings.flat().filter(({ ended }) => !ended)).toEqual([]);
    await held;
    await stopped.end();
    await expectGone(world, (await mint(world)).name);
  });

  test('nor do others that are ended by the same call', async () => {
    // One open transaction holds many names as that many stopped mints would.
    const stopped = await world.connect('postgres', server.superuser);
    const held = Array.from({ length: 8 }, () => newName());
    const others = await Promise.all(held.map(async () => (await mint(world)).name));
    await stopped.query('begin');
    await stopped.query('insert into mayfly_te5t.name (name) select unnest($1::text[])', [held]);
    const begun = systemClock.monotonicMs();
    const endings = await world.access.guard.end([...held, ...others]);
    expect(systemClock.monotonicMs() - begun).toBeLessThan(3_000);
    expect(endings.map(({ name, ended }) => [name, ended])).toEqual([
      ...held.map((name) => [name, false]),
      ...others.map((name) => [name, true]),
    ]);
    await stopped.end();
    let left = held;
    while (left.length > 0) {
      const again = await world.access.guard.end(left);
      left = again.filter(({ ended }) => !ended).map(({ name }) => name);
    }
  });

  test('without that time-out it is kept for as long as it likes', async () => {
    const stopped = await world.connect(world.plan.admin.username, world.plan.admin.password);
    await stopped.query('set idle_in_transaction_session_timeout = 0');
    const [name, password] = [newName(), secret()];
    await stopped.query('begin');
    await stopped.query(await creation(name, password));
    await systemClock.sleep(1_500);
    await stopped.query('commit');
    await stopped.end();
    expect(await canLogIn(world, { name, password })).toBe(true);
    await expectGone(world, name);
  });
});

describe("a user made by somebody else's read of creds", () => {
  test.each([
    ['an ordinary name of OpenBao', 'v-token-orders-r-x8Yq2fJbGZtUQ3kM1k9a-1763830000'],
    ['another installation', newName().replace(INSTALLATION, '0ther'.slice(0, 4))],
    ['upper case', newName().toUpperCase()],
    ['something after the name', `${newName()}0`],
    ['a line after the name', `${newName()}\n`],
    ['a lease id that is no UUID', newName().replace(/-0/, '-8')],
  ])('%s is refused', async (_what, name) => {
    await expect(mint(world, 'orders_read', name)).rejects.toMatchObject({ code: 'MF001' });
    expect(await seen(world, name, null)).toMatchObject({ role: false });
  });

  test('a name whose deadline is past is refused as dead on arrival', async () => {
    const deadline = new Date(systemClock.now().getTime() - 1000);
    const name = encodeName({ installation: INSTALLATION, leaseId: ids.uuid(), deadline });
    await expect(mint(world, 'orders_read', name)).rejects.toMatchObject({ code: 'MF002' });
  });

  test('a second mint of one name is refused', async () => {
    const { name } = await mint(world);
    await expect(mint(world, 'orders_read', name)).rejects.toMatchObject({ code: 'MF003' });
    await expectGone(world, name);
  });

  test('a group that is not allowed is refused', async () => {
    await expect(mint(world, 'pg_read_all_data')).rejects.toMatchObject({ code: 'MF004' });
  });

  test('a clear password is refused, and nothing was made', async () => {
    const name = newName();
    await expect(
      world.openbao.query(`select mayfly_te5t.make('${name}', 'clear', 'orders_read')`),
    ).rejects.toMatchObject({ code: 'MF005' });
    expect(await seen(world, name, null)).toMatchObject({ role: false });
  });

  test.each(['mayfly_guard', 'mayfly_prover'] as const)('%s cannot make', async (login) => {
    const { password } = login === 'mayfly_guard' ? world.plan.guard : world.plan.prover;
    const session = await world.connect(login, password);
    await expect(session.query(await creation(newName(), secret()))).rejects.toThrow(
      /permission denied/,
    );
    await session.end();
  });
});

describe('what the name says', () => {
  test('the role lives until the second of its name, with the connections of its group', async () => {
    const { name } = await mint(world);
    const { rows } = await world.root.query(
      `select to_hex(extract(epoch from rolvaliduntil)::bigint) as until, rolconnlimit as limit,
         rolinherit, rolcreaterole, rolcreatedb from pg_roles where rolname = $1`,
      [name],
    );
    expect(rows).toEqual([
      {
        until: name.slice(-8),
        limit: 8,
        rolinherit: true,
        rolcreaterole: false,
        rolcreatedb: false,
      },
    ]);
    await expectGone(world, name);
  });

  test('names past their deadline are found at the target alone', async () => {
    const soon = await mint(world, 'orders_read', newName(3));
    const later = await mint(world);
    const foreign = soon.name.replace('te5t', 'p2od');
    await world.root.query(`create role "${foreign}" login`);
    while ((await world.access.guard.overdue(10)).length === 0) await systemClock.sleep(50);
    expect(await world.access.guard.overdue(10)).toMatchObject([
      { name: soon.name, canLogin: true, registered: true },
    ]);
    expect((await world.access.guard.list()).map(({ name }) => name).sort()).toEqual(
      [soon.name, later.name].sort(),
    );
    await expectGone(world, soon.name);
    await expectGone(world, later.name);
    expect(await world.access.guard.list()).toEqual([]);
    await expect(world.access.guard.end([foreign])).rejects.toThrow(RangeError);
    await expect(
      world.root.query(`select mayfly_te5t.close('${foreign}', null)`),
    ).rejects.toMatchObject({ code: 'MF001' });
    await world.root.query(`drop role "${foreign}"`);
  });

  test('names past their deadline are found through the routines of an older schema too', async () => {
    const { name } = await mint(world, 'orders_read', newName(3));
    const rename = (from: string, to: string) =>
      world.root.query(`alter function mayfly_te5t.${from}(integer) rename to ${to}`);
    await rename('overdue', 'overdue_away');
    const replica = await connectTarget(world.config, systemClock);
    try {
      while ((await replica.guard.overdue(10)).length === 0) await systemClock.sleep(50);
      expect(await replica.guard.overdue(10)).toMatchObject([{ name, canLogin: true }]);
    } finally {
      await replica.close();
      await rename('overdue_away', 'overdue');
    }
    expect(await world.access.guard.overdue(10)).toMatchObject([{ name, canLogin: true }]);
    await expectGone(world, name);
  });

  test('a disabled role that is left over is overdue only while it has a session', async () => {
    const { name, password } = await mint(world, 'orders_read', newName(4));
    const session = await world.connect(name, password);
    await world.root.query(`alter role "${name}" nologin`);
    while ((await world.access.guard.overdue(10)).length === 0) await systemClock.sleep(50);
    expect(await world.access.guard.overdue(10)).toMatchObject([{ name, canLogin: false }]);
    await session.end();
    while ((await seen(world, name, null)).sessions > 0) await systemClock.sleep(5);
    expect(await world.access.guard.overdue(10)).toEqual([]);
    // It is still listed, for whoever looks after what is left over.
    expect(await world.access.guard.list()).toContainEqual(
      expect.objectContaining({ name, canLogin: false }),
    );
    await expectGone(world, name);
  });

  test('names are kept for a day after their deadline, and then forgotten', async () => {
    const aged = (hours: number) => {
      const deadline = new Date(systemClock.now().getTime() - hours * 3_600_000);
      return encodeName({ installation: INSTALLATION, leaseId: ids.uuid(), deadline });
    };
    const [kept, old] = [aged(23), aged(25)];
    await world.access.guard.end([kept, old]);
    // A replica tidies when it first asks for overdue names, and every so often after that.
    const replica = await connectTarget(world.config, systemClock);
    await replica.guard.overdue(1);
    await replica.close();
    const { rows } = await world.root.query(
      'select name from mayfly_te5t.name where name = any ($1)',
      [[kept, old]],
    );
    expect(rows).toEqual([{ name: kept }]);
  });

  test('a role with more rights than a credential ever gets is refused', async () => {
    const { name } = await mint(world);
    await world.root.query(`alter role "${name}" createdb`);
    expect(await endAndJudge(world, name)).toMatchObject({ dead: false });
    expect(await seen(world, name, null)).toMatchObject({ role: true, login: true });
    await world.root.query(`alter role "${name}" nocreatedb`);
    await expectGone(world, name);
  });
});

describe("OpenBao's own lease end", () => {
  const revoke = (name: string) =>
    world.openbao.query(revocationStatements(INSTALLATION).join(';').replaceAll('{{name}}', name));

  test('drops the role, and does nothing where the guard was first', async () => {
    const { name, password } = await mint(world);
    await world.connect(name, password);
    await revoke(name);
    expect(await seen(world, name, null)).toEqual({ role: false, login: false, sessions: 0 });
    await revoke(name);
  });
});
