import type pg from 'pg';
import { systemClock } from '../../../src/foundation/clock.ts';
import type { Credential, World } from './target-world.ts';

/** A holder who does one thing over and over, and comes back whenever his session is cut. */
export type Siege = {
  /** Times that he got to where he wanted to be. */
  readonly reached: () => number;
  /** Ends his side: no session of his own doing remains. */
  stop(): Promise<void>;
};

/** Milliseconds between two tries to come back. */
const COME_BACK_MS = 1;

/**
 * Runs `act` in `loops` sessions at a time, for as long as the siege lasts. It calls `there` when it
 * has done what the attack is about.
 */
export function besiege(
  world: Pick<World, 'connect'>,
  { name, password }: Credential,
  loops: number,
  act: (session: pg.Client, there: () => void) => Promise<void>,
): Siege {
  let on = true;
  let reached = 0;
  const there = () => {
    reached += 1;
  };
  const loop = async () => {
    while (on) {
      try {
        const session = await world.connect(name, password);
        try {
          while (on) await act(session, there);
        } finally {
          await session.end().catch(() => undefined);
        }
      } catch {
        await systemClock.sleep(COME_BACK_MS);
      }
    }
  };
  const running = Array.from({ length: loops }, loop);
  return {
    reached: () => reached,
    async stop() {
      on = false;
      await Promise.all(running);
    },
  };
}

/** Resolves once he got there so many times. */
export async function established(siege: Siege, times: number): Promise<void> {
  while (siege.reached() < times) await systemClock.sleep(2);
}

/** True when `name` can still open a session. */
export async function canLogIn(
  world: Pick<World, 'connect'>,
  { name, password }: Credential,
): Promise<boolean> {
  try {
    const session = await world.connect(name, password);
    await session.end();
    return true;
  } catch {
    return false;
  }
}

/** True when the session still answers. */
export async function answers(session: pg.Client, sql = 'select 1'): Promise<boolean> {
  try {
    await session.query(sql);
    return true;
  } catch {
    return false;
  }
}
