import { beforeAll, describe, expect, test } from '@jest/globals';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { Minter, MintPlace, Reaper } from '../../src/mint/backend.ts';

/** What the contract is tried on: a backend with one place where it mints. */
export type BackendUnderTest = {
  readonly minter: Minter;
  readonly reaper: Reaper;
  readonly place: MintPlace;
  /** A name that no user has had. */
  newName(): string;
  userExists(name: string): Promise<boolean>;
  /** The target refuses to end this user from now on; answers what takes that back. */
  holdUser(name: string): Promise<() => Promise<void>>;
  sleep(ms: number): Promise<void>;
};

/** What minter and reaper of every backend keep. */
export function backendContract(make: () => BackendUnderTest): void {
  describe('the contract of a backend', () => {
    let world: BackendUnderTest;
    beforeAll(() => {
      world = make();
    });

    async function mint(ttlSeconds = 60) {
      const name = world.newName();
      const token = await world.minter.token(world.place, name, ttlSeconds);
      if (!token.ok) throw new Error(token.failure.detail);
      const outcome = await world.minter.credential(world.place, token.value);
      if (outcome.kind !== 'minted') throw new Error(outcome.failure.detail);
      return { name, token: token.value, outcome, id: outcome.backendLeaseId };
    }

    test('the token carries the name, and its life bounds that of the lease', async () => {
      const { name, outcome, id } = await mint(60);
      expect(outcome.username).toBe(name);
      // Whole seconds between the token and the mint may pass on a busy machine.
      expect(outcome.leaseSeconds).toBeLessThanOrEqual(60);
      expect(outcome.leaseSeconds).toBeGreaterThanOrEqual(50);
      expect(await world.userExists(name)).toBe(true);
      expect(await world.reaper.knows(id)).toEqual({ ok: true, value: true });
      const { mount, role } = world.place;
      const listed = await world.reaper.list(mount, role);
      expect(listed.ok && listed.value).toContainEqual({ id });
      expect(await world.reaper.roles(mount)).toMatchObject({ ok: true, value: [role] });
      const facts = await world.reaper.lookUp(id);
      expect(facts).toMatchObject({ ok: true, value: { expired: false } });
      await world.reaper.revoke(id);
    });

    test('revoked means: user and lease are gone; again and of none it is a success', async () => {
      const { name, id } = await mint();
      for (let time = 0; time < 2; time++) {
        expect(await world.reaper.revoke(id)).toEqual({ ok: true, value: 'revoked' });
        expect(await world.userExists(name)).toBe(false);
        expect(await world.reaper.knows(id)).toEqual({ ok: true, value: false });
        expect(await world.reaper.lookUp(id)).toEqual({ ok: true, value: null });
      }
      const { mount, role } = world.place;
      const listed = await world.reaper.list(mount, role);
      expect(listed.ok && listed.value).not.toContainEqual({ id });
    });

    test('a lease ends by itself with the life of its token', async () => {
      const { name, id } = await mint(2);
      expect(await world.reaper.knows(id)).toEqual({ ok: true, value: true });
      for (let look = 0; look < 60 && (await world.userExists(name)); look++) {
        await world.sleep(100);
      }
      expect(await world.userExists(name)).toBe(false);
      // The user goes first, then the entry.
      const known = async () => {
        const answer = await world.reaper.knows(id);
        return answer.ok && answer.value;
      };
      for (let look = 0; look < 60 && (await known()); look++) await world.sleep(100);
      expect(await world.reaper.knows(id)).toEqual({ ok: true, value: false });
    });

    test('what the target does not take stays, and is done when it does', async () => {
      const { name, id } = await mint();
      const letGo = await world.holdUser(name);
      const refused = await world.reaper.revoke(id);
      expect(refused).toMatchObject({ ok: false, failure: { reason: 'target_unreachable' } });
      expect(await world.reaper.knows(id)).toEqual({ ok: true, value: true });
      await letGo();
      expect(await world.reaper.revoke(id)).toEqual({ ok: true, value: 'revoked' });
      expect(await world.userExists(name)).toBe(false);
    });

    test('one name is made once: the second outcome is unknown', async () => {
      const { token, id } = await mint();
      expect((await world.minter.credential(world.place, token)).kind).toBe('unknown');
      await world.reaper.revoke(id);
    });

    test('refused means that nothing was made', async () => {
      const dead = await world.minter.credential(world.place, new SecretText('b.dead'));
      expect(dead.kind).toBe('refused');
      const name = world.newName();
      const token = await world.minter.token(world.place, name, 60);
      if (!token.ok) throw new Error(token.failure.detail);
      const elsewhere = { ...world.place, role: 'no-such-role' };
      expect((await world.minter.credential(elsewhere, token.value)).kind).toBe('refused');
      expect(await world.userExists(name)).toBe(false);
      const noRole = { ...world.place, tokenRole: 'mayfly-nothing' };
      expect((await world.minter.token(noRole, name, 60)).ok).toBe(false);
    });
  });
}
