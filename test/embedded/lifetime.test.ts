import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CANARY,
  folderWithOpenBao,
  goneWithin,
  isAlive,
  isRoot,
  newFolder,
  processesIn,
  removeFolders,
  startOwner,
} from './support/processes.ts';
import type { Owner } from './support/processes.ts';

/** Milliseconds. What nobody wants any more is gone by then. */
const GONE_MS = 5_000;
/** Milliseconds, about. */
const NODE_START_MS = 400;
const EVERYTHING = 'postgres,openbao';
const USERS = isRoot ? (['root', 'nobody'] as const) : (['ourselves'] as const);

const owners: Owner[] = [];

async function start(folder: string, what: string, user?: 'nobody'): Promise<Owner> {
  const owner = await startOwner(folder, what, user);
  owners.push(owner);
  return owner;
}

afterEach(async () => {
  for (const owner of owners.splice(0)) {
    owner.process.kill('SIGKILL');
    await owner.exited;
  }
});

afterAll(removeFolders);

describe.each(USERS)('servers started by %s', (name) => {
  const user = name === 'nobody' ? name : undefined;

  test('die with a process that is killed, and start again on the same folder', async () => {
    const folder = await folderWithOpenBao(user);
    const first = await start(folder, EVERYTHING, user);
    const { pids } = await first.owned;
    first.process.kill('SIGKILL');
    // At once, while the old servers may still be going down.
    const second = await start(folder, EVERYTHING, user);
    expect(await goneWithin(pids, GONE_MS)).toBeDefined();
    await second.owned;
  });

  test('are stopped by their owner alone on Ctrl-C', async () => {
    const folder = await folderWithOpenBao(user);
    const owner = await start(folder, EVERYTHING, user);
    const { pids } = await owner.owned;
    process.kill(-owner.pid, 'SIGINT');
    expect(await owner.exited).toBe(0);
    expect(owner.output()).toContain('stopped 2');
    expect(await goneWithin(pids, 100)).toBeDefined();
  });

  test('die with a process that crashes', async () => {
    const folder = await folderWithOpenBao(user);
    const owner = await start(folder, EVERYTHING, user);
    const { pids } = await owner.owned;
    owner.process.kill('SIGUSR2');
    expect(await owner.exited).not.toBe(0);
    expect(await goneWithin(pids, GONE_MS)).toBeDefined();
    expect(await processesIn(folder)).toEqual([]);
  });
});

describe('servers', () => {
  test('start again after everything was killed at once', async () => {
    const folder = await folderWithOpenBao();
    const owner = await start(folder, EVERYTHING);
    const { pids } = await owner.owned;
    for (const pid of [owner.pid, ...pids]) {
      process.kill(pid, 'SIGKILL');
    }
    const next = await start(folder, EVERYTHING);
    await expect(next.owned).resolves.toBeDefined();
  });

  test.each([300, 1_500])(
    'start on a folder whose first start was killed after %s ms',
    async (ms) => {
      const folder = await newFolder();
      const owner = await start(folder, EVERYTHING);
      await sleep(ms + NODE_START_MS);
      owner.process.kill('SIGKILL');
      await owner.exited;
      const next = await start(folder, EVERYTHING);
      await expect(next.owned).resolves.toBeDefined();
    },
  );

  test('run side by side in two folders', async () => {
    const both = await Promise.all([folderWithOpenBao(), folderWithOpenBao()]);
    const owned = await Promise.all(
      both.map(async (folder) => (await start(folder, EVERYTHING)).owned),
    );
    expect(new Set(owned.map(({ postgresPort }) => postgresPort)).size).toBe(2);
    expect(await Promise.all(owned.flatMap(({ pids }) => pids).map(isAlive))).not.toContain(false);
  });

  test.each(['postgres', 'openbao'])('%s in a folder that is in use is refused', async (what) => {
    const folder = await folderWithOpenBao();
    const first = await start(folder, what);
    await first.owned;
    const second = await start(folder, what);
    expect(await second.exited).not.toBe(0);
    expect(second.output()).toContain(`is in use by process ${first.pid}.`);
    const alive = await Promise.all((await first.owned).pids.map(isAlive));
    expect(alive).toEqual([true]);
  });

  test('die with their owner even when they are frozen', async () => {
    const owner = await start(await folderWithOpenBao(), EVERYTHING);
    const { pids } = await owner.owned;
    for (const pid of [...pids, owner.pid]) {
      process.kill(pid, pid === owner.pid ? 'SIGKILL' : 'SIGSTOP');
    }
    expect(await goneWithin(pids, GONE_MS)).toBeDefined();
  });

  test('die with their owner where setpriv is missing, and see nothing of its environment', async () => {
    const owner = await start(await newFolder(), 'tethered');
    const { pids } = await owner.owned;
    expect(await isAlive(pids[0] ?? 0)).toBe(true);
    const environment = await readFile(`/proc/${pids[0]}/environ`, 'utf8');
    expect(environment.includes(CANARY)).toBe(false);
    owner.process.kill('SIGKILL');
    expect(await goneWithin(pids, GONE_MS)).toBeDefined();
  });
});
