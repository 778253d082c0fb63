import { setTimeout as sleep } from 'node:timers/promises';
import type { World } from '../dist/commands/demo/world.js';
import { agentClient } from './agent-client.ts';

/** What an agent sees that asks again and again. */
export type Probed = {
  readonly granted: number;
  readonly p50: number;
  readonly p99: number;
  /** Answers 503, by their reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** The slowest of these answers, in milliseconds. */
  readonly slowestRefusal: number;
  /** Of those granted, the slowest: seconds after the first question, and milliseconds. */
  readonly slowest: readonly { readonly at: number; readonly ms: number }[];
};

export type Probe = {
  /** Asks until this is over. */
  until(over: Promise<unknown>): Promise<Probed>;
};

/** So many are told one by one, since when they came says what they met. */
const SLOWEST_SHOWN = 8;

/** Milliseconds between two exchanges, of which one is under way at a time. */
const PAUSE_MS = 20;

/** One agent that exchanges steadily, for the latency of others while something else goes on. */
export async function startProbe(world: World, broker: string): Promise<Probe> {
  const token = (await world.workloadToken('invoice-reconciler')).reveal();
  const agent = agentClient(broker, token);
  const begun = Date.now();
  return {
    async until(over) {
      let going = true;
      const stop = () => (going = false);
      over.then(stop, stop);
      const granted: number[] = [];
      const each: { at: number; ms: number }[] = [];
      const first = performance.now();
      const refused: Record<string, number> = {};
      let slowestRefusal = 0;
      for (let nth = 0; going; nth++) {
        const started = performance.now();
        const answer = await agent.attempt(`probe-${begun}-${nth}`, LIFE_SECONDS);
        const ms = performance.now() - started;
        if (answer === 'granted') {
          granted.push(ms);
          each.push({ at: (started - first) / 1000, ms });
        } else {
          refused[answer] = (refused[answer] ?? 0) + 1;
          slowestRefusal = Math.max(slowestRefusal, ms);
        }
        await sleep(PAUSE_MS);
      }
      agent.close();
      granted.sort((a, b) => a - b);
      const at = (share: number) =>
        granted[Math.min(granted.length - 1, Math.floor(granted.length * share))] ?? NaN;
      const slowest = each.sort((a, b) => b.ms - a.ms).slice(0, SLOWEST_SHOWN);
      return {
        ...{ granted: granted.length, p50: at(0.5), p99: at(0.99) },
        ...{ refused, slowestRefusal, slowest },
      };
    },
  };
}

/** Its own leases must not be due while anything is measured. */
const LIFE_SECONDS = 600;
