import { execFile } from 'node:child_process';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { codeOf } from '../foundation/failure.ts';
import { systemClock } from '../foundation/clock.ts';

/** The right to use a folder, held by one process at a time. */
export type Claim = { release(): Promise<void> };

/** How often two processes that start at once may take turns before one gives up. */
const CLAIM_ATTEMPTS = 20;
/** Milliseconds. */
const CLAIM_PAUSE_MS = 10;

/**
 * Claims a folder by a file. The file names the process and the moment of its start, so that the
 * claim of a process that was killed counts for nothing, also when its number is used again.
 *
 * @throws when a living process holds the claim; the message names it.
 */
export async function claim(file: string, what: string): Promise<Claim> {
  const mine = `${process.pid} ${await startOf(process.pid)}\n`;
  const draft = `${file}.${process.pid}`;
  for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
    if (await takeFree(file, draft, mine)) {
      return { release: () => rm(file, { force: true }) };
    }
    const holder = await holderOf(file);
    if (holder !== undefined) {
      throw new Error(
        `${what} is in use by process ${holder}. Stop that process first, or use another folder.`,
      );
    }
    await putAside(file, draft);
    await systemClock.sleep(CLAIM_PAUSE_MS);
  }
  throw new Error(`Cannot claim ${what}: other processes are starting on it at the same time.`);
}

/** A hard link appears with its content, and only where there was nothing. */
async function takeFree(file: string, draft: string, content: string): Promise<boolean> {
  await writeFile(draft, content, { mode: 0o600 });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') {
      return false;
    }
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Removes a dead claim. If somebody took it over meanwhile, theirs is put back. */
async function putAside(file: string, draft: string): Promise<void> {
  const aside = `${draft}.aside`;
  try {
    await rename(file, aside);
    if ((await holderOf(aside)) !== undefined) {
      await link(aside, file);
    }
    await rm(aside, { force: true });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EEXIST') {
      throw error;
    }
  }
}

/** The living process that holds a claim. */
export async function holderOf(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const [pid, ...start] = text.trim().split(' ');
  const number = Number(pid);
  if (!Number.isInteger(number) || number <= 0) {
    return undefined;
  }
  return (await startOf(number)) === start.join(' ') ? number : undefined;
}

/** Field 22 of /proc/<pid>/stat, counted after the command's name, which may hold spaces. */
const START_TIME_FIELD = 19;

/** Something that two processes with one number do not share; empty when there is no such process. */
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[START_TIME_FIELD] ?? '');
  } catch {
    return process.platform === 'linux' ? '' : startByPs(pid);
  }
}

function startByPs(pid: number): Promise<string> {
  return new Promise((resolve) => {
    execFile('/bin/ps', ['-o', 'lstart=', '-p', String(pid)], (_error, out) => resolve(out.trim()));
  });
}
