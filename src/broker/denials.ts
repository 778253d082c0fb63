import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { Log } from '../foundation/log.ts';
import { DENIALS_PER_MINUTE } from './margins.ts';

/** The bound is stated per minute. Milliseconds. */
const WINDOW_MS = 60_000;

/**
 * How often each agent was refused of late, by this replica. Each refusal leaves an event for good, so
 * an agent that repeats what is refused would fill the ledger: above the bound it is told to wait
 * before anything is decided. Known to this process only, and forgotten within a minute or two.
 */
export type Denials = {
  /** A refusal of this agent is going to be recorded. */
  recorded(agentId: string): void;
  /** Why nothing is decided for this agent now; undefined where it may ask. */
  refusal(agentId: string): Failure | undefined;
};

/** `atMs`: its newest denials, the oldest of them first, as many as the bound at most. */
type Refused = { readonly atMs: number[]; toldAtMs: number };

/** An agent that comes to its bound leaves a line, one a minute. */
export function createDenials({ clock, log }: { clock: Clock; log: Log }): Denials {
  // In the order of their newest denials, which is that in which they are forgotten.
  const refused = new Map<string, Refused>();
  const forgetOld = (nowMs: number) => {
    for (const [agentId, { atMs }] of refused) {
      if (nowMs - (atMs.at(-1) ?? 0) < WINDOW_MS) return;
      refused.delete(agentId);
    }
  };
  return {
    recorded(agentId) {
      const nowMs = clock.monotonicMs();
      forgetOld(nowMs);
      const agent = refused.get(agentId) ?? { atMs: [], toldAtMs: -Infinity };
      refused.delete(agentId);
      refused.set(agentId, agent);
      agent.atMs.push(nowMs);
      if (agent.atMs.length > DENIALS_PER_MINUTE) agent.atMs.shift();
      if (waitMs(agent.atMs, nowMs) === 0 || nowMs - agent.toldAtMs < WINDOW_MS) return;
      agent.toldAtMs = nowMs;
      log.warn(
        { agent: agentId, denials: DENIALS_PER_MINUTE },
        'an agent was refused too often within a minute: its exchanges are answered 429, unrecorded',
      );
    },
    refusal(agentId) {
      const ms = waitMs(refused.get(agentId)?.atMs ?? [], clock.monotonicMs());
      if (ms === 0) return undefined;
      return failure(
        'limit_denials',
        `this agent was refused ${DENIALS_PER_MINUTE} times within a minute; nothing was decided now`,
        { retryAfterSeconds: Math.ceil(ms / 1000) },
      );
    },
  };
}

/** Milliseconds until an agent with these newest denials is below its bound; 0 where it is. Pure. */
function waitMs(atMs: readonly number[], nowMs: number): number {
  const [oldest] = atMs;
  if (oldest === undefined || atMs.length < DENIALS_PER_MINUTE) return 0;
  return Math.max(0, oldest + WINDOW_MS - nowMs);
}
