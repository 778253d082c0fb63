import { readFile, readdir } from 'node:fs/promises';
import type { World } from '../dist/commands/demo/world.js';

/** Milliseconds of processor time an operation took, by who took it. */
export type ProcessorTime = Readonly<Record<string, number>>;

/** `/proc` counts in ticks of ten milliseconds. */
const TICK_MS = 10;

/** Fields of `/proc/<pid>/stat` behind the command's name: parent, user and system time. */
const [PARENT, USER, SYSTEM] = [1, 11, 12] as const;

/**
 * What everybody has used so far, in milliseconds; empty where there is no `/proc`. Sessions of a
 * Postgres are its children, and count for their server.
 */
export async function processorTime(
  world: World,
  broker: { readonly pid: number },
): Promise<ProcessorTime> {
  const parts = new Map([
    [broker.pid, 'broker'],
    [world.backend.pid(), 'OpenBao'],
    [world.target.pid(), 'target'],
    [world.ledger.pid(), 'ledger'],
    [process.pid, 'clients'],
  ]);
  const used: Record<string, number> = {};
  const pids = await readdir('/proc').catch(() => []);
  for (const pid of pids.filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    const part = parts.get(Number(pid)) ?? parts.get(Number(fields[PARENT]));
    if (part === undefined) continue;
    const ms = (Number(fields[USER]) + Number(fields[SYSTEM])) * TICK_MS;
    used[part] = (used[part] ?? 0) + ms;
  }
  return used;
}

/** Used between two readings, for each of so many operations. */
export function each(before: ProcessorTime, after: ProcessorTime, count: number): ProcessorTime {
  return Object.fromEntries(
    Object.entries(after).map(([part, ms]) => [part, (ms - (before[part] ?? 0)) / count]),
  );
}
