import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import { revocationStatements } from '../../src/target/postgres/statements.ts';
import { scramVerifier } from '../../src/target/postgres/scram.ts';
import { expectGone, expectResidue } from './support/expect-dead.ts';
import { besiege, canLogIn, established } from './support/hostile.ts';
import { NAIVE, naiveRevoke } from './support/naive-revoke.ts';
import { PATIENCE_MS, eachRound } from './support/rounds.ts';
import { INSTALLATION, buildWorld, ids, mint, seen, startServer } from './support/target-world.ts';
import type { Credential, Server, World } from './support/target-world.ts';

let server: Server;
let world: World;

beforeAll(async () => {
  server = await startServer(18, { max_prepared_transactions: '40' });
  world = await buildWorld(server);
}, 60_000);

afterAll(async () => {
  await world.close();
  await server.stop();
});

/** Milliseconds that one loop keeps the lock; longer than anybody's patience. */
const HOLD_MS = 500;
/** Milliseconds between two askings of the broker at first, and those that its caller waits. */
const ASK_AGAIN_MS = 25;
const CALLERS_WAIT_MS = 5_000;

/** Keeps the row of his own role locked; two loops overlap, so that it is never free. */
async function lockOwnRow(credential: Credential) {
  const verifier = await scramVerifier(credential.password, ids.password());
  return besiege(world, credential, 2, async (session: pg.Client, there) => {
    await session.query('begin');
    await session.query(`alter role current_user password '${verifier}'`);
    there();
    await systemClock.sleep(HOLD_MS);
    await session.query('commit');
  });
}

describe('tuple lock in two loops', () => {
  test(
    'is dead after one ending, while the loops go on',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        const siege = await lockOwnRow(credential);
        try {
          await established(siege, 1);
          await expectGone(world, credential.name);
        } finally {
          await siege.stop();
        }
      });
    },
    PATIENCE_MS,
  );

  test(
    'several of one call are dead soon, for who asks again as the broker does',
    async () => {
      const credentials = [await mint(world), await mint(world), await mint(world)];
      const sieges = await Promise.all(credentials.map((credential) => lockOwnRow(credential)));
      try {
        for (const siege of sieges) await established(siege, 1);
        const begun = systemClock.monotonicMs();
        let left = credentials.map(({ name }) => name);
        while (left.length > 0) {
          const endings = await world.access.guard.end(left);
          left = endings.filter(({ ended }) => !ended).map(({ name }) => name);
          await systemClock.sleep(ASK_AGAIN_MS);
        }
        expect(systemClock.monotonicMs() - begun).toBeLessThan(CALLERS_WAIT_MS);
        for (const { name } of credentials) await expectGone(world, name);
      } finally {
        for (const siege of sieges) await siege.stop();
      }
    },
    PATIENCE_MS,
  );

  test(
    'a naive revoke is held off',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        const siege = await lockOwnRow(credential);
        try {
          await established(siege, 1);
          const { error } = await naiveRevoke(world, credential.name, NAIVE.terminateAndDrop);
          expect(error).toMatch(/lock timeout|concurrently updated/);
          expect(await seen(world, credential.name, null)).toMatchObject({
            role: true,
            login: true,
          });
        } finally {
          await siege.stop();
          await world.access.guard.end([credential.name]);
        }
      });
    },
    PATIENCE_MS,
  );
});

describe('prepared transaction', () => {
  async function prepare({ name, password }: Credential) {
    const session = await world.connect(name, password);
    await session.query('begin');
    await session.query(`alter role current_user password 'x'`);
    await session.query(`prepare transaction '${name}'`);
    await session.end();
  }

  test(
    'cannot log in after one ending, and is gone when the transaction is',
    async () => {
      await eachRound(async () => {
        const credential = await mint(world);
        await prepare(credential);
        await expectResidue(world, credential.name, /lock timeout/);
        expect(await canLogIn(world, credential)).toBe(false);
        await world.root.query(`rollback prepared '${credential.name}'`);
        await expectGone(world, credential.name);
      });
    },
    PATIENCE_MS,
  );

  test("OpenBao's own lease end fails while the role can log in, so that it keeps its lease", async () => {
    const credential = await mint(world);
    const [revoke] = revocationStatements(INSTALLATION);
    const end = () => world.openbao.query((revoke ?? '').replaceAll('{{name}}', credential.name));
    await prepare(credential);
    await world.root.query('grant connect on database orders to public');
    try {
      await expect(end()).rejects.toThrow(/can still log in/);
      expect(await canLogIn(world, credential)).toBe(true);
    } finally {
      await world.root.query('revoke connect on database orders from public');
    }
    // A disabled shell that cannot be dropped is no reason to keep the lease.
    await end();
    await world.root.query(`rollback prepared '${credential.name}'`);
    await end();
    expect(await seen(world, credential.name, null)).toMatchObject({ role: false });
  });

  test('a naive revoke is held off by no session at all', async () => {
    const credential = await mint(world);
    await prepare(credential);
    const { error } = await naiveRevoke(world, credential.name, NAIVE.terminateAndDrop);
    expect(error).toMatch(/lock timeout/);
    expect(await canLogIn(world, credential)).toBe(true);
    await world.root.query(`rollback prepared '${credential.name}'`);
    await world.access.guard.end([credential.name]);
  });
});

describe("open GRANT ... TO another agent's role", () => {
  /** The grant takes a lock on the grantee's role for as long as the transaction is open. */
  async function holdGrant(attacker: Credential, victim: Credential) {
    const session = await world.connect(attacker.name, attacker.password);
    await session.query('begin');
    const { rows } = await session.query<{ id: string }>('select lo_create(0)::text as id');
    await session.query(`grant select on large object ${rows[0]?.id} to "${victim.name}"`);
    return session;
  }

  test(
    "the other's credential is dead, and gone when the attacker is",
    async () => {
      await eachRound(async () => {
        const [attacker, victim] = [await mint(world), await mint(world)];
        await holdGrant(attacker, victim);
        await expectResidue(world, victim.name, /lock timeout/);
        expect(await canLogIn(world, victim)).toBe(false);
        await expectGone(world, attacker.name);
        await expectGone(world, victim.name);
      });
    },
    PATIENCE_MS,
  );

  test('a naive revoke of the other is held off', async () => {
    const [attacker, victim] = [await mint(world), await mint(world)];
    await holdGrant(attacker, victim);
    const { error } = await naiveRevoke(world, victim.name, NAIVE.terminateAndDrop);
    expect(error).toMatch(/lock timeout/);
    expect(await canLogIn(world, victim)).toBe(true);
    await world.access.guard.end([attacker.name, victim.name]);
  });
});

describe('changed own password', () => {
  test(
    'a new password does not help after one ending',
    async () => {
      await eachRound(async () => {
        const { name, password } = await mint(world);
        const session = await world.connect(name, password);
        await session.query(`alter role current_user password 'mine now'`);
        await expectGone(world, name);
      });
    },
    PATIENCE_MS,
  );

  test('a naive revoke by a new password is undone from the open session', async () => {
    const credential = await mint(world);
    const session = await world.connect(credential.name, credential.password);
    const { error } = await naiveRevoke(world, credential.name, NAIVE.newPassword);
    expect(error).toBeNull();
    expect(await canLogIn(world, credential)).toBe(false);
    await session.query(`alter role current_user password '${credential.password.reveal()}'`);
    expect(await canLogIn(world, credential)).toBe(true);
    await world.access.guard.end([credential.name]);
  });
});
