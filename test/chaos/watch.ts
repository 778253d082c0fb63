import type { Oracle, Seen } from './oracle.ts';
import { sleep } from './random.ts';
import type { RunRecord } from './record.ts';

/** Milliseconds between two looks at the target. */
const LOOK_EVERY_MS = 400;

/**
 * Milliseconds past its deadline that a credential may live while target and a broker are up: the
 * bound of docs/lifecycle.md with OpenBao or the ledger out of reach.
 */
export const BOUND_MS = 5_000;

/** Milliseconds that a session without a role may last: the steps of an ending follow each other. */
const ORPHAN_SESSION_MS = 5_000;

/** A time in which nobody could have ended anything, Unix milliseconds. */
export type Outage = { readonly from: number; to: number };

export type Watch = {
  /** Longest that a session was seen past its deadline, and a role; raw, and without outages. */
  readonly longest: { sessionMs: number; sessionOwnMs: number; roleMs: number; roleOwnMs: number };
  looks(): number;
  /** Names that a test planted: they are no work of a broker. */
  readonly planted: Set<string>;
  /** Leases of OpenBao that a test planted there. */
  readonly plantedLeases: Set<string>;
  /** Names whose lease a test took away in OpenBao. */
  readonly bereft: Set<string>;
  /** Says that the target, or every broker, is out of reach from now until the returned call. */
  outage(): () => void;
  stop(): Promise<void>;
};

/** Looks at the target all the time: who lives past a deadline, and who lives though called dead. */
export function startWatch(oracle: Oracle, record: RunRecord): Watch {
  const outages: Outage[] = [];
  const planted = new Set<string>();
  const longest = { sessionMs: 0, sessionOwnMs: 0, roleMs: 0, roleOwnMs: 0 };
  const told = new Set<string>();
  const orphansSince = new Map<number, number>();
  let stopped = false;
  let looks = 0;

  /** Of the time since a deadline, how much nobody could have used. */
  function lostMs(sinceMs: number, nowMs: number): number {
    let lost = 0;
    for (const { from, to } of outages)
      lost += Math.max(0, Math.min(to, nowMs) - Math.max(from, sinceMs));
    return lost;
  }

  function judge(seen: Seen, nowMs: number): void {
    const { name, sessions, pastDeadlineMs: past } = seen;
    if (past <= 0 || planted.has(name)) return;
    const own = past - lostMs(nowMs - past, nowMs);
    if (seen.canLogin) {
      longest.roleMs = Math.max(longest.roleMs, past);
      longest.roleOwnMs = Math.max(longest.roleOwnMs, own);
    }
    if (sessions === 0) return;
    longest.sessionMs = Math.max(longest.sessionMs, past);
    longest.sessionOwnMs = Math.max(longest.sessionOwnMs, own);
    if (own > BOUND_MS && !told.has(name)) {
      told.add(name);
      record.violate(
        'a session outlived its deadline and the bound',
        `${name}: ${Math.round(own)} ms`,
      );
    }
  }

  async function look(): Promise<void> {
    const { roles, orphanSessions } = await oracle.target();
    const now = Date.now();
    looks += 1;
    for (const seen of roles) judge(seen, now);
    for (const oid of orphansSince.keys())
      if (!orphanSessions.includes(oid)) orphansSince.delete(oid);
    for (const oid of orphanSessions) {
      const since = orphansSince.get(oid) ?? now;
      orphansSince.set(oid, since);
      const own = now - since - lostMs(since, now);
      if (own > ORPHAN_SESSION_MS && !told.has(`oid ${oid}`)) {
        told.add(`oid ${oid}`);
        record.violate('a session of a role that is gone', `oid ${oid} for ${own} ms`);
      }
    }
  }

  /** Called dead in the ledger first, and seen alive at the target after that: never (I3). */
  async function lookForRisen(): Promise<void> {
    const { roles } = await oracle.target();
    const names = roles.map(({ name }) => name).filter((name) => !planted.has(name));
    const dead = await oracle.deadAmong(names);
    if (dead.size === 0) return;
    const again = (await oracle.target()).roles.filter(({ name }) => dead.has(name));
    for (const { name, canLogin } of again) {
      if (told.has(name) || planted.has(name)) continue;
      told.add(name);
      const detail = `${name}, lease ${dead.get(name)}, ${canLogin ? 'may log in' : 'disabled'}`;
      record.violate('the ledger calls it dead, and the target has it', detail);
    }
  }

  const looking = (async () => {
    for (let turn = 0; !stopped; turn += 1) {
      await look().catch(() => undefined);
      if (turn % 4 === 0) await lookForRisen().catch(() => undefined);
      await sleep(LOOK_EVERY_MS);
    }
  })();
  return {
    longest,
    planted,
    plantedLeases: new Set(),
    bereft: new Set(),
    looks: () => looks,
    outage: () => {
      const outage: Outage = { from: Date.now(), to: Number.POSITIVE_INFINITY };
      outages.push(outage);
      return () => {
        outage.to = Date.now();
      };
    },
    stop: async () => {
      stopped = true;
      await looking;
    },
  };
}
