import { expect } from '@jest/globals';
import { systemClock } from '../../../src/foundation/clock.ts';
import { judge } from '../../../src/target/verdict.ts';
import type { TargetAccess } from '../../../src/target/target-access.ts';
import type { Verdict } from '../../../src/target/verdict.ts';
import { seen } from './target-world.ts';
import type { World } from './target-world.ts';
import { WATCH_MS } from './rounds.ts';

/** Ends a credential as the broker does, once, and judges. */
export async function endAndJudge(
  world: { readonly access: TargetAccess },
  name: string,
): Promise<Verdict> {
  const [ending] = await world.access.guard.end([name]);
  if (ending === undefined) throw new Error('no answer');
  const [look] = await world.access.prover.look([{ name, oid: ending.oid }]);
  return judge({
    ending,
    look,
    declared: 'proven',
    seenOid: null,
    minted: true,
    backendSaid: null,
  });
}

/** One ending, while the attack goes on: proven dead, no role and no session, then and later. */
export async function expectGone(world: World, name: string): Promise<void> {
  const verdict = await endAndJudge(world, name);
  expect(verdict).toMatchObject({
    dead: true,
    revocability: 'proven',
    lowered: null,
    residue: null,
  });
  expect(verdict.oid).not.toBeNull();
  for (const wait of [0, WATCH_MS]) {
    await systemClock.sleep(wait);
    expect(await seen(world, name, verdict.oid)).toEqual({
      role: false,
      login: false,
      sessions: 0,
    });
  }
}

/** One ending: nobody can log in or is logged in, but the role cannot be dropped yet. */
export async function expectResidue(world: World, name: string, reason: RegExp): Promise<void> {
  const verdict = await endAndJudge(world, name);
  expect(verdict).toMatchObject({ dead: true, revocability: 'proven', lowered: null });
  expect(verdict).toMatchObject({ residue: expect.stringMatching(reason) as unknown });
  for (const wait of [0, WATCH_MS]) {
    await systemClock.sleep(wait);
    expect(await seen(world, name, verdict.oid)).toEqual({ role: true, login: false, sessions: 0 });
  }
}
