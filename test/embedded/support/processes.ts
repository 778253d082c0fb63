import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmod, chown, cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findBao } from '../../../src/embedded/find-bao.ts';
import { startOpenBao } from '../../../src/embedded/openbao.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import { OWNERS_PASSWORD } from './owners-password.ts';
import type { Owned } from './owner.ts';

/** Ids that every Linux has: nobody, nogroup. */
const NOBODY = 65_534;
const HOOKS = new URL('./typescript-hooks.mjs', import.meta.url);
const OWNER = new URL('./owner.ts', import.meta.url);
const CHECKOUT = new URL('../../../', import.meta.url);

export const isRoot = process.getuid?.() === 0;

/** In the environment of every owner. */
export const CANARY = 'canary-of-the-environment';

let bao: Promise<string> | undefined;

/** The program that tests run: the PATH's, else the one in `.mayfly`, fetched if need be. */
export function baoProgram(): Promise<string> {
  const cache = fileURLToPath(new URL('.mayfly/', CHECKOUT));
  bao ??= findBao({ cache, path: process.env['PATH'], say: () => undefined });
  return bao;
}

/** A folder that the user of an embedded Postgres can pass through; gone with `removeFolders`. */
export async function newFolder(owner?: 'nobody'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-embedded-'));
  await chmod(folder, 0o711);
  if (owner === 'nobody') {
    await chown(folder, NOBODY, NOBODY);
  }
  folders.push(folder);
  return folder;
}

const folders: string[] = [];

/** A folder in which OpenBao had its first start, which takes ten times as long as a later one. */
export async function folderWithOpenBao(owner?: 'nobody'): Promise<string> {
  const folder = await newFolder(owner);
  initialised ??= firstStart();
  await cp(await initialised, join(folder, 'openbao'), { recursive: true });
  if (owner === 'nobody') {
    await promisify(execFile)('chown', ['-R', `${NOBODY}:${NOBODY}`, folder]);
  }
  return folder;
}

let initialised: Promise<string> | undefined;

async function firstStart(): Promise<string> {
  const folder = join(await newFolder(), 'openbao');
  const adminPassword = new SecretText(OWNERS_PASSWORD);
  const server = await startOpenBao({ folder, bao: await baoProgram(), adminPassword });
  await server.stop();
  return folder;
}

export async function removeFolders(): Promise<void> {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
}

export type Owner = {
  readonly pid: number;
  readonly process: ChildProcess;
  readonly owned: Promise<Owned>;
  /** All that it printed. */
  output(): string;
  readonly exited: Promise<number | null>;
};

/** Starts a process that starts servers (owner.ts), in a process group of its own. */
export async function startOwner(folder: string, what: string, user?: 'nobody'): Promise<Owner> {
  const args = ['--import', HOOKS.href, fileURLToPath(OWNER), folder, what, await baoProgram()];
  const started = spawn(process.execPath, args, {
    cwd: fileURLToPath(CHECKOUT),
    detached: true,
    env: { ...process.env, MAYFLY_SECRET_CANARY: CANARY },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(user ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  let output = '';
  const owned = new Promise<Owned>((resolve, reject) => {
    started.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const line = /^\{.*\}$/m.exec(output)?.[0];
      if (line !== undefined) {
        resolve(JSON.parse(line) as Owned);
      }
    });
    started.once('exit', () => reject(new Error(output)));
  });
  owned.catch(() => undefined);
  started.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => {
    started.once('exit', (code) => resolve(code));
  });
  return { pid: started.pid ?? 0, process: started, owned, output: () => output, exited };
}

/** Processes whose command line names `folder`, which is how servers are told apart. */
export async function processesIn(folder: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return line.includes(folder) ? [pid] : [];
    }),
  );
  return found.flat();
}

/** True while the process runs; one that is dead and not yet collected does not. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
}

/** Milliseconds until none of the processes is left; `undefined` when some are after `limitMs`. */
export async function goneWithin(
  pids: readonly number[],
  limitMs: number,
): Promise<number | undefined> {
  const start = performance.now();
  while (performance.now() - start < limitMs) {
    const alive = await Promise.all(pids.map(isAlive));
    if (!alive.includes(true)) {
      return performance.now() - start;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return undefined;
}
