import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CatalogueProblem } from './catalogue.ts';
import { FOLDER_KINDS, LIMITS_FILE, OPERATORS_FILE } from './kinds.ts';
import { FILES_FOLDER, POLICIES_FOLDER, SCHEMAS_FOLDER } from './kinds.ts';
import { didYouMean, listed } from './near-miss.ts';
import { fileProblem } from './problem.ts';

/** A file of the catalogue: its name below the folder, with `/`, and what it holds. */
export type CatalogueFile = { readonly name: string; readonly text: string };

export type CatalogueFiles = {
  readonly files: readonly CatalogueFile[];
  readonly problems: readonly CatalogueProblem[];
};

/** Bytes. The largest honest entry is prose of a few pages; more is a mistake or an attack. */
const FILE_BYTES_MAX = 256 * 1024;

/** Files in all. Beyond it the start takes seconds and a mistake is likelier than a need. */
const FILES_MAX = 10_000;

const YAML_FOLDERS: readonly string[] = FOLDER_KINDS.map((kind) => kind.folder);
const FOLDERS: readonly string[] = [...YAML_FOLDERS, POLICIES_FOLDER];
const SINGLE_FILES: readonly string[] = [OPERATORS_FILE, LIMITS_FILE];

/**
 * Reads all files of a catalogue, sorted by name. What would be ignored in silence (a folder with a
 * typing error in its name, an entry with another ending) is a problem. Names that begin with a dot
 * are passed over, since mounted volumes keep their own things there; so is README.md.
 */
export async function readCatalogueFiles(folder: string): Promise<CatalogueFiles> {
  const names = await namesIn(folder);
  if (names === undefined) {
    const remedy = 'Name an existing catalogue folder.';
    return { files: [], problems: [fileProblem('.', 'the folder cannot be read', remedy)] };
  }
  const strange = names.filter((name) => !isExpected(name)).map(strangeName);
  const nested = await Promise.all(
    FOLDERS.filter((name) => names.includes(name)).map((name) => inFolder(folder, name)),
  );
  const wanted = [
    ...SINGLE_FILES.filter((name) => names.includes(name)),
    ...nested.flatMap((found) => found.wanted),
  ].sort();
  const problems = [...strange, ...nested.flatMap((found) => found.problems)];
  if (wanted.length > FILES_MAX) {
    const remedy = 'Split the installation.';
    problems.push(fileProblem('.', `has more than ${FILES_MAX} files`, remedy));
    return { files: [], problems };
  }
  const read = await Promise.all(wanted.map((name) => readOne(folder, name)));
  return {
    files: read.flatMap((one) => ('text' in one ? [one] : [])),
    problems: [...problems, ...read.flatMap((one) => ('problem' in one ? [one] : []))],
  };
}

function isExpected(name: string): boolean {
  const known = [...FOLDERS, FILES_FOLDER, SCHEMAS_FOLDER, ...SINGLE_FILES, 'README.md'];
  return name.startsWith('.') || known.includes(name);
}

function strangeName(name: string): CatalogueProblem {
  const known = [...FOLDERS, FILES_FOLDER, SCHEMAS_FOLDER, ...SINGLE_FILES];
  const remedy = didYouMean(name, known).trim() || `Move it away. Known here: ${listed(known)}.`;
  return fileProblem(name, 'is not part of a catalogue and would be ignored', remedy);
}

async function inFolder(
  folder: string,
  name: string,
): Promise<{ wanted: string[]; problems: CatalogueProblem[] }> {
  const ending = name === POLICIES_FOLDER ? '.cedar' : '.yaml';
  const names = await namesIn(join(folder, name));
  if (names === undefined) {
    return { wanted: [], problems: [fileProblem(name, 'is not a folder', 'Make it one.')] };
  }
  const visible = names.filter((entry) => !entry.startsWith('.') && entry !== 'README.md');
  const strange = visible.filter((entry) => !entry.endsWith(ending));
  return {
    wanted: visible.filter((entry) => entry.endsWith(ending)).map((entry) => `${name}/${entry}`),
    problems: strange.map((entry) =>
      fileProblem(
        `${name}/${entry}`,
        `does not end in ${ending} and would be ignored`,
        `Rename it so that it ends in ${ending}, or move it away.`,
      ),
    ),
  };
}

async function namesIn(folder: string): Promise<string[] | undefined> {
  return readdir(folder).catch(() => undefined);
}

async function readOne(folder: string, name: string): Promise<CatalogueFile | CatalogueProblem> {
  try {
    const path = join(folder, name);
    const { size } = await stat(path);
    if (size > FILE_BYTES_MAX) {
      return fileProblem(name, `is larger than ${FILE_BYTES_MAX} bytes`, 'Make it shorter.');
    }
    const bytes = await readFile(path);
    return { name, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (error) {
    const isText = !(error instanceof TypeError);
    return isText
      ? fileProblem(name, 'cannot be read', 'Check that it is a file and may be read.')
      : fileProblem(name, 'is not UTF-8 text', 'Save it as UTF-8.');
  }
}
