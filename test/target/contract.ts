import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TargetAccess } from '../../src/target/target-access.ts';
import { judge } from '../../src/target/verdict.ts';

/** What the contract is tried on: one target with the guard's routines, and who mints there. */
export type TargetUnderTest = {
  readonly access: TargetAccess;
  /** A name of the installation whose deadline lies so many seconds ahead. */
  newName(secondsOfLife: number): string;
  /** Mints as OpenBao does; rejects where the target refuses. */
  mint(name: string): Promise<void>;
  /** The same, stopped before its commit. */
  beginMint(
    name: string,
  ): Promise<{ readonly commit: () => Promise<void>; readonly rollBack: () => Promise<void> }>;
  /** True where the holder of the name is let in; the session stays open. */
  logIn(name: string): Promise<boolean>;
  /** Something depends on the role from now on; answers what takes that back. */
  pin(name: string): Promise<() => Promise<void>>;
  sleep(ms: number): Promise<void>;
  close(): Promise<void>;
};

/** What guard and prover of every target keep, one name at a time. */
export function targetContract(make: () => Promise<TargetUnderTest>): void {
  let world: TargetUnderTest;
  beforeAll(async () => {
    world = await make();
  }, 60_000);
  afterAll(async () => {
    await world.close();
  });

  const end = async (name: string) => {
    const [ending] = await world.access.guard.end([name]);
    if (!ending) throw new Error('no ending');
    const [look] = await world.access.prover.look([{ name, oid: ending.oid }]);
    const of = { declared: 'proven', seenOid: null, minted: true, backendSaid: null } as const;
    return { ending, look, verdict: judge({ ending, look, ...of }) };
  };
  const minted = async (seconds = 300) => {
    const name = world.newName(seconds);
    await world.mint(name);
    return name;
  };

  describe('ending a name', () => {
    test('what was alive is gone, with its sessions, and both logins say so', async () => {
      const name = await minted();
      expect(await world.logIn(name)).toBe(true);
      const { ending, look, verdict } = await end(name);
      expect(ending).toMatchObject({ closing: 'alive', ended: true, residue: null, reason: null });
      expect(look).toMatchObject({ roleExists: false, canLogin: false, sessions: 0 });
      expect(look?.server).toBe(ending.server);
      expect(verdict).toMatchObject({ dead: true, revocability: 'proven', oid: ending.oid });
      expect(await world.logIn(name)).toBe(false);
    });

    test('again is the same: the oid that was seen is kept (I5)', async () => {
      const name = await minted();
      const first = await end(name);
      const again = await end(name);
      expect(again.ending).toMatchObject({ oid: first.ending.oid, ended: true, residue: null });
      expect(again.verdict).toMatchObject({ dead: true, revocability: 'proven' });
    });

    test('what was never made is closed for ever, and proves nothing', async () => {
      const name = world.newName(300);
      const { ending, verdict } = await end(name);
      expect(ending).toMatchObject({ closing: 'nothing', oid: null, ended: true });
      expect(verdict).toMatchObject({ dead: false });
      await expect(world.mint(name)).rejects.toThrow();
      expect(await world.logIn(name)).toBe(false);
    });

    test('a mint under way is not decided; committed, it is ended', async () => {
      const name = world.newName(300);
      const making = await world.beginMint(name);
      const [pending] = await world.access.guard.end([name]);
      expect(pending).toMatchObject({ closing: 'in_flight', oid: null, ended: false });
      await making.commit();
      expect((await end(name)).verdict).toMatchObject({ dead: true, revocability: 'proven' });
    });

    test('a mint that is rolled back was none', async () => {
      const name = world.newName(300);
      const making = await world.beginMint(name);
      await making.rollBack();
      expect((await end(name)).ending).toMatchObject({ closing: 'nothing', ended: true });
    });

    test('what cannot be dropped is left disabled, and gone when it can be', async () => {
      const name = await minted();
      expect(await world.logIn(name)).toBe(true);
      const unpin = await world.pin(name);
      const { ending, look, verdict } = await end(name);
      expect(ending.ended).toBe(true);
      expect(ending.residue).not.toBeNull();
      expect(look).toMatchObject({ roleExists: true, canLogin: false, sessions: 0 });
      expect(verdict).toMatchObject({ dead: true, revocability: 'proven' });
      expect(await world.logIn(name)).toBe(false);
      const listed = await world.access.guard.list();
      expect(listed.find((one) => one.name === name)).toMatchObject({ canLogin: false });
      await unpin();
      const after = await end(name);
      expect(after.ending).toMatchObject({ ended: true, residue: null });
      expect(after.look?.roleExists).toBe(false);
    });

    test('many in one call, each with its own answer, in the order asked', async () => {
      const [one, none, other] = [await minted(), world.newName(300), await minted()];
      const endings = await world.access.guard.end([one, none, other]);
      expect(endings.map(({ name }) => name)).toEqual([one, none, other]);
      expect(endings.map(({ closing }) => closing)).toEqual(['alive', 'nothing', 'alive']);
      expect(endings.every(({ ended }) => ended)).toBe(true);
    });

    test('a name of nobody of ours is not touched', async () => {
      await expect(world.access.guard.end(['postgres'])).rejects.toThrow(RangeError);
    });
  });

  describe('deadlines', () => {
    test('what is past its own is listed as overdue; nobody logs in any more', async () => {
      const [short, long] = [await minted(2), await minted()];
      expect(await world.logIn(short)).toBe(true);
      const early = await world.access.guard.overdue(500);
      expect(early.map(({ name }) => name)).not.toContain(short);
      await world.sleep(2_600);
      const overdue = (await world.access.guard.overdue(500)).map(({ name }) => name);
      expect(overdue).toContain(short);
      expect(overdue).not.toContain(long);
      expect(await world.logIn(short)).toBe(false);
      expect((await end(short)).verdict).toMatchObject({ dead: true, revocability: 'proven' });
      const after = (await world.access.guard.overdue(500)).map(({ name }) => name);
      expect(after).not.toContain(short);
    });

    test('dead on arrival is refused', async () => {
      await expect(world.mint(world.newName(-5))).rejects.toThrow();
    });
  });
}
