import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { holderOf } from './claim.ts';
import type { SystemUser } from './system-user.ts';

/**
 * True when `user` (absent: we ourselves) can go into the folder (and perhaps not list it). Asked of the system and not
 * computed from modes, which leave out access lists and mount options.
 */
export function canEnter(folder: string, user: SystemUser | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = spawn('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], {
      cwd: '/',
      stdio: 'ignore',
      ...(user ? { uid: user.uid, gid: user.gid } : {}),
    });
    asked.once('error', () => resolve(false));
    asked.once('exit', (code) => resolve(code === 0));
  });
}

/** Names, within a folder of ours, the path that it stands for. */
const ORIGIN = 'origin';

/**
 * A folder of ours below the machine's lasting temporary folder that every user can pass through,
 * for what another user must reach and cannot where it belongs (below /root, for one): `origin`,
 * a path. It is removed once the folder of that path is gone, by the next one who comes here.
 */
export async function passableFolder(origin: string): Promise<string> {
  const root = join(await lastingTemporaryFolder(), `mayfly-${process.getuid?.() ?? 'user'}`);
  await mkdir(root, { mode: 0o755 }).catch(() => undefined);
  await checkOwn(root);
  await removeOrphans(root);
  const folder = join(root, createHash('sha256').update(origin).digest('hex').slice(0, 16));
  await mkdir(folder, { mode: 0o755 }).catch(() => undefined);
  await checkOwn(folder);
  await writeFile(join(folder, ORIGIN), origin);
  return folder;
}

async function removeOrphans(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const folder = join(root, name);
    const origin = await readFile(join(folder, ORIGIN), 'utf8').catch(() => '');
    if (origin !== '' && !(await exists(dirname(origin))) && !(await isClaimedWithin(folder))) {
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

async function isClaimedWithin(folder: string): Promise<boolean> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.endsWith('.lock') && (await holderOf(join(folder, name))) !== undefined) {
      return true;
    }
  }
  return false;
}

/** Names below a temporary folder can be taken by anybody before us. */
async function checkOwn(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== (process.getuid?.() ?? found.uid)) {
    throw new Error(`${folder} is not ours. Remove it, or use a folder that all users can reach.`);
  }
  // The process's mask may have taken away what others need.
  await chmod(folder, 0o755);
}

async function lastingTemporaryFolder(): Promise<string> {
  const found = await lstat('/var/tmp').catch(() => undefined);
  return found?.isDirectory() === true ? '/var/tmp' : tmpdir();
}
