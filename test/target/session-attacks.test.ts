import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Socket } from 'node:net';
import type pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { connectTarget } from '../../src/target/postgres/connect-target.ts';
import { expectGone } from './support/expect-dead.ts';
import { answers, besiege, canLogIn, established } from './support/hostile.ts';
import { NAIVE, naiveRevoke } from './support/naive-revoke.ts';
import { PATIENCE_MS, eachRound } from './support/rounds.ts';
import { buildWorld, connectAs, mint, seen, startServer } from './support/target-world.ts';
import type { Credential, Server, World } from './support/target-world.ts';

let server: Server;
let world: World;

beforeAll(async () => {
  server = await startServer(18, { max_connections: '60' });
  world = await buildWorld(server);
  // Temporary tables are part of one attack.
  await world.root.query('grant temporary on database orders to orders_read');
}, 60_000);

afterAll(async () => {
  await world.close();
  await server.stop();
});

async function oidOf(name: string): Promise<number> {
  const { rows } = await world.root.query<{ oid: number }>(
    'select oid::int from pg_roles where rolname = $1',
    [name],
  );
  return rows[0]?.oid ?? 0;
}

describe('reconnecting in overlapping loops', () => {
  const reconnect = (credential: Credential) =>
    besiege(world, credential, 4, async (session: pg.Client, there) => {
      await session.query('select count(*) from public.orders');
      there();
      // Ends this session, and the loop comes back.
      await session.end();
      throw new Error('again');
    });

  test(
    'no session is left after one ending, nor comes back',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        const siege = reconnect(credential);
        try {
          await established(siege, 10);
          await expectGone(world, credential.name);
        } finally {
          await siege.stop();
        }
      });
    },
    PATIENCE_MS,
  );

  test(
    'a naive revoke leaves a session alive',
    async () => {
      // One transaction shuts nobody out before it commits, and waiting for sessions takes time.
      const credential = await mint(world);
      const oid = await oidOf(credential.name);
      const siege = besiege(world, credential, 4, async (session, there) => {
        there();
        await session.query('select pg_sleep(5)');
      });
      try {
        await established(siege, 4);
        const { error } = await naiveRevoke(world, credential.name, NAIVE.terminateWaitAndDrop);
        expect(error).toBeNull();
        const after = await seen(world, credential.name, oid);
        expect(after.role).toBe(false);
        expect(after.sessions).toBeGreaterThan(0);
      } finally {
        const stopped = siege.stop();
        await world.access.guard.end([credential.name]);
        await stopped;
      }
    },
    PATIENCE_MS,
  );
});

describe('open cursor', () => {
  async function openCursor({ name, password }: Credential) {
    const session = await world.connect(name, password);
    await session.query('begin');
    await session.query('declare c cursor for select a.* from public.orders a, public.orders b');
    expect((await session.query('fetch 5 from c')).rowCount).toBe(5);
    return session;
  }

  test(
    'delivers nothing after one ending',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        const session = await openCursor(credential);
        await expectGone(world, credential.name);
        expect(await answers(session, 'fetch 5 from c')).toBe(false);
      });
    },
    PATIENCE_MS,
  );

  test('goes on delivering after a naive revoke', async () => {
    const credential = await mint(world);
    const oid = await oidOf(credential.name);
    const session = await openCursor(credential);
    expect(await naiveRevoke(world, credential.name, NAIVE.drop)).toEqual({ error: null });
    expect((await session.query('fetch 5 from c')).rowCount).toBe(5);
    expect(await seen(world, credential.name, oid)).toMatchObject({ role: false, sessions: 1 });
    await session.end();
  });

  test('a session that outlived its role is listed, and ended by the oid', async () => {
    const credential = await mint(world);
    const session = await openCursor(credential);
    await naiveRevoke(world, credential.name, NAIVE.drop);
    const listed = await world.access.guard.list();
    expect(listed).toMatchObject([{ name: credential.name, canLogin: true }]);
    await expectGone(world, credential.name);
    expect(await answers(session)).toBe(false);
    expect(await world.access.guard.list()).toEqual([]);
  });
});

describe('sessions that do not want to go', () => {
  test.each([
    [
      'one that catches every error',
      `do $$ begin loop begin perform pg_sleep(10); exception when others then null; end; end loop; end $$`,
    ],
    ['one that computes', 'select count(*) from generate_series(1, 1e12::bigint)'],
    ['one that waits for a lock', 'select pg_advisory_lock(1)'],
  ])(
    '%s',
    async (_what, sql) => {
      await world.root.query('select pg_advisory_lock(1)');
      await eachRound(async () => {
        const { name, password } = await mint(world);
        const session = await world.connect(name, password);
        session.query(sql).catch(() => undefined);
        await systemClock.sleep(20);
        await expectGone(world, name);
      });
      await world.root.query('select pg_advisory_unlock(1)');
    },
    PATIENCE_MS,
  );

  test('an open session costs milliseconds, not the tenth of a second of a waiting terminate', async () => {
    const took: number[] = [];
    for (let attempt = 0; attempt < 10; attempt++) {
      const { name, password } = await mint(world);
      await (await world.connect(name, password)).query('select 1');
      const begun = systemClock.monotonicMs();
      await world.access.guard.end([name]);
      took.push(systemClock.monotonicMs() - begun);
    }
    expect(Math.min(...took)).toBeLessThan(80);
  });

  test('one whose client does not read what it asked for', async () => {
    const { name, password } = await mint(world);
    const session = await world.connect(name, password);
    session
      .query(`select repeat('x', 1000000) from generate_series(1, 1000)`)
      .catch(() => undefined);
    const { stream } = (session as unknown as { connection: { stream: Socket } }).connection;
    stream.pause();
    await systemClock.sleep(200);
    await expectGone(world, name);
    stream.destroy();
  });
});

describe('temp table', () => {
  async function openTable({ name, password }: Credential) {
    const session = await world.connect(name, password);
    for (let made = 0; made < 20; made++) {
      await session.query(`create temp table mine_${made} as select * from public.orders`);
    }
    return session;
  }

  test(
    'is gone with the role after one ending',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        await openTable(credential);
        await expectGone(world, credential.name);
      });
    },
    PATIENCE_MS,
  );

  test('makes a naive revoke fail', async () => {
    const credential = await mint(world);
    await openTable(credential);
    const { error } = await naiveRevoke(world, credential.name, NAIVE.drop);
    expect(error).toMatch(/cannot be dropped because some objects depend on it/);
    expect(await canLogIn(world, credential)).toBe(true);
    await world.access.guard.end([credential.name]);
  });
});

describe('connection slots used up', () => {
  /** Opens sessions of many credentials until the server takes no more. */
  async function fill(): Promise<{ names: string[]; sessions: pg.Client[] }> {
    const names: string[] = [];
    const sessions: pg.Client[] = [];
    for (;;) {
      const { name, password } = await mint(world);
      names.push(name);
      try {
        for (let held = 0; held < 8; held++) sessions.push(await world.connect(name, password));
      } catch {
        return { names, sessions };
      }
    }
  }

  test(
    'the guard has its connection already',
    async () => {
      await eachRound(async () => {
        await world.access.guard.now();
        await world.access.prover.look([]);
        const { names } = await fill();
        const endings = await world.access.guard.end(names);
        expect(endings.filter(({ ended }) => !ended)).toEqual([]);
        for (const name of names) await expectGone(world, name);
      });
    },
    PATIENCE_MS * 2,
  );

  test('a revocation that has to connect first cannot', async () => {
    const { names, sessions } = await fill();
    const { username, password } = world.plan.admin;
    await expect(connectAs(server, username, password)).rejects.toThrow(
      /connection slots|too many/,
    );
    expect(await answers(sessions[0] as pg.Client)).toBe(true);
    await world.access.guard.end(names);
  });
});

describe('two ends at once', () => {
  test(
    'both answer that it is dead',
    async () => {
      const other = await connectTarget(world.config, systemClock);
      try {
        await other.guard.now();
        await eachRound(async () => {
          const names = await Promise.all(
            Array.from({ length: 10 }, async () => (await mint(world)).name),
          );
          const both = await Promise.all([
            world.access.guard.end(names),
            other.guard.end([...names].reverse()),
          ]);
          expect(both.flat().filter(({ ended, closing }) => !ended || closing !== 'alive')).toEqual(
            [],
          );
          for (const name of names)
            expect(await seen(world, name, null)).toMatchObject({ role: false });
        });
      } finally {
        await other.close();
      }
    },
    PATIENCE_MS,
  );

  test('the second naive revoke fails, and its backend keeps trying', async () => {
    const { name } = await mint(world);
    expect((await naiveRevoke(world, name, NAIVE.terminateAndDrop)).error).toBeNull();
    expect((await naiveRevoke(world, name, NAIVE.terminateAndDrop)).error).toMatch(
      /does not exist/,
    );
  });
});
