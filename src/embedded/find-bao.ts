import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Where `bao` may be, in the order in which it is looked for. */
export type BaoPlaces = {
  /** A path that the operator set; if it does not work, nothing else is tried. */
  readonly setting?: string | undefined;
  /** The PATH of the environment. */
  readonly path?: string | undefined;
  /** Our own folder for downloaded programs, `.mayfly/` below the working folder. */
  readonly cache: string;
};

/** The program's path, `undefined` when it is in none of the places. */
export async function findBao(places: BaoPlaces): Promise<string | undefined> {
  if (places.setting !== undefined) {
    if (await isProgram(places.setting)) {
      return places.setting;
    }
    throw new Error(`${places.setting} is set as the bao program, but cannot be executed.`);
  }
  const onPath = (places.path ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...onPath, places.cache]) {
    if (await isProgram(join(folder, 'bao'))) {
      return join(folder, 'bao');
    }
  }
  return undefined;
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
