import { readFile, readdir } from 'node:fs/promises';
import type { World } from '../dist/commands/demo/world.js';

/** Milliseconds of processor time an operation took, by who took it. */
export type ProcessorTime = Readonly<Record<string, number>>;

/** `/proc` counts in ticks of ten milliseconds. */
const TICK_MS = 10;

/** Fields of `/proc/<pid>/stat` behind the command's name: parent, user and system time. */
const [PARENT, USER, SYSTEM] = [1, 11, 12] as const;

/** What each process has used so far, in milliseconds; no other process where there is no `/proc`. */
export type Reading = {
  readonly own: number;
  readonly others: ReadonlyMap<string, { readonly part: string; readonly ms: number }>;
};

/**
 * Sessions of a Postgres are its children, and count for their server.
 *
 * @param when our own part is read last `before` and first `after`, so that reading itself is in neither
 */
export async function readProcessorTime(
  world: World,
  broker: { readonly pid: number },
  when: 'before' | 'after',
): Promise<Reading> {
  const first = ownMs();
  const others = await othersOf(world, broker);
  return { own: when === 'after' ? first : ownMs(), others };
}

async function othersOf(
  world: World,
  broker: { readonly pid: number },
): Promise<Reading['others']> {
  const parts = new Map([
    [broker.pid, 'broker'],
    [world.backend.pid(), 'OpenBao'],
    [world.target.pid(), 'target'],
    [world.ledger.pid(), 'ledger'],
  ]);
  const others = new Map<string, { readonly part: string; readonly ms: number }>();
  const pids = await readdir('/proc').catch(() => []);
  for (const pid of pids.filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    const part = parts.get(Number(pid)) ?? parts.get(Number(fields[PARENT]));
    if (part === undefined) continue;
    const ms = (Number(fields[USER]) + Number(fields[SYSTEM])) * TICK_MS;
    others.set(pid, { part, ms });
  }
  return others;
}

function ownMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Used between two readings, for each of so many operations. What ended meanwhile is not counted. */
export function each(before: Reading, after: Reading, count: number): ProcessorTime {
  const used: Record<string, number> = { clients: (after.own - before.own) / count };
  for (const [pid, { part, ms }] of after.others) {
    const spent = ms - (before.others.get(pid)?.ms ?? 0);
    used[part] = (used[part] ?? 0) + spent / count;
  }
  return used;
}
