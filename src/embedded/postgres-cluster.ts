import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf } from '../foundation/failure.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import { exitsWithin, startChild } from './child.ts';
import { canEnter, passableFolder } from './reachable-folder.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { SystemUser } from './system-user.ts';

/** Milliseconds; initdb takes half a second on a quiet machine. */
const INITDB_TIMEOUT_MS = 60_000;

export type NewCluster = {
  readonly dataDir: string;
  readonly superuserPassword: SecretText;
  readonly durable: boolean;
  readonly user: SystemUser | undefined;
};

/**
 * Where the data really lies: where it was asked for, unless the user that Postgres runs as
 * cannot get there, as below a /root that is closed to others.
 */
export async function placeOfData(dataDir: string, user: SystemUser | undefined): Promise<string> {
  const parent = dirname(dataDir);
  await makeParents(parent);
  return (await canEnter(parent, user)) ? dataDir : join(await passableFolder(dataDir), 'data');
}

/** `mkdir` with a mode would close every parent that it makes, for the server too. */
async function makeParents(parent: string): Promise<void> {
  await mkdir(parent, { recursive: true });
}

/**
 * Makes the cluster when there is none yet. It is made beside its place and moved there when it
 * is whole, so that a start that was killed in between leaves nothing that looks like a cluster.
 */
export async function ensureCluster(binaries: PostgresBinaries, wanted: NewCluster): Promise<void> {
  if ((await lstat(join(wanted.dataDir, 'PG_VERSION')).catch(() => undefined)) !== undefined) {
    return;
  }
  await removeDrafts(wanted.dataDir);
  // Numbered: what a killed start left may still be writing to its own.
  const draft = `${wanted.dataDir}${DRAFT}${process.pid}`;
  await mkdir(draft, { mode: 0o700 });
  await giveTo(draft, wanted.user);
  await initialise(binaries, { ...wanted, dataDir: join(draft, 'data') });
  await rename(join(draft, 'data'), wanted.dataDir);
  await rm(draft, { recursive: true, force: true });
}

const DRAFT = '.new-';

async function removeDrafts(dataDir: string): Promise<void> {
  const parent = dirname(dataDir);
  for (const name of await readdir(parent)) {
    if (name.startsWith(`${basename(dataDir)}${DRAFT}`)) {
      await rm(join(parent, name), { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

async function initialise(binaries: PostgresBinaries, wanted: NewCluster): Promise<void> {
  const draft = dirname(wanted.dataDir);
  // Not through standard input: Node's is a socket, which initdb cannot open by name.
  const passwordFile = join(draft, 'password');
  await writeFile(passwordFile, wanted.superuserPassword.reveal(), { mode: 0o600, flag: 'wx' });
  await giveTo(passwordFile, wanted.user);
  const log = await open(join(draft, 'log'), 'wx+', 0o600);
  try {
    const child = await startChild({
      command: join(binaries.folder, 'initdb'),
      args: [
        ...['-D', wanted.dataDir, '-U', 'postgres', '-A', 'scram-sha-256'],
        ...[`--pwfile=${passwordFile}`, '-E', 'UTF8', '--locale=C', '--no-instructions'],
        ...(wanted.durable ? [] : ['--no-sync']),
      ],
      cwd: draft,
      output: log.fd,
      user: wanted.user,
      deathSignal: 'SIGKILL',
    });
    await exitsWithin(child, INITDB_TIMEOUT_MS);
    child.kill('SIGKILL');
    if ((await child.exited).code !== 0) {
      const said = (await readFile(join(draft, 'log'), 'utf8')).trim();
      throw new Error(`Postgres could not make its data folder ${wanted.dataDir}: ${said}`);
    }
  } finally {
    await log.close();
    await rm(passwordFile, { force: true });
  }
}

/** Hands a file or folder to the user that the server runs as. */
export async function giveTo(path: string, user: SystemUser | undefined): Promise<void> {
  if (user !== undefined) {
    await chown(path, user.uid, user.gid);
  }
}

/** Copies a file to where the server's user alone can read it. */
export async function copyFor(
  user: SystemUser | undefined,
  from: string,
  to: string,
): Promise<void> {
  await rm(to, { force: true });
  await writeFile(to, await readFile(from), { mode: 0o600 });
  await chmod(to, 0o600);
  await giveTo(to, user);
}

/**
 * The living server of a data folder, by its process number; `undefined` when there is none. Its
 * file alone proves nothing: after a kill the number may belong to any other process, and then
 * Postgres refuses to start, so the file is removed.
 */
export async function serverOf(dataDir: string): Promise<number | undefined> {
  const file = join(dataDir, 'postmaster.pid');
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0) {
    return undefined;
  }
  if (await runsIn(pid, dataDir)) {
    return pid;
  }
  await rm(file, { force: true });
  return undefined;
}

async function runsIn(pid: number, dataDir: string): Promise<boolean> {
  if (process.platform !== 'linux') {
    return isAlive(pid);
  }
  return (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === dataDir;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}
