import { transform } from '@swc/core';
import type { Options } from '@swc/core';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Mutation } from './mutations.ts';

/** What the simulation is made of, besides the built program. */
const SIMULATION = 'test/simulation';

const TRANSLATION: Options = {
  jsc: {
    target: 'es2023',
    parser: { syntax: 'typescript' },
    // Missing in the types of this version.
    ...{ rewriteRelativeImportExtensions: true },
  },
  module: { type: 'es6' },
};

/** A copy of the built program with the simulation beside it, in a folder of its own. */
export type Assembly = {
  readonly folder: string;
  /** Plants a fault; answers what takes it out again. */
  plant(mutation: Mutation): Promise<() => Promise<void>>;
  remove(): Promise<void>;
};

/** @param root the project's folder, whose `dist` is built. */
export async function assemble(root: string, parent: string): Promise<Assembly> {
  const folder = await mkdtemp(join(parent, 'mayfly-mutations-'));
  await cp(join(root, 'dist'), join(folder, 'src'), { recursive: true });
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const file of await sources(root)) await translate(root, folder, file);
  return {
    folder,
    plant: (mutation) => plant(folder, mutation),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function sources(root: string): Promise<readonly string[]> {
  const files = await readdir(join(root, SIMULATION), { recursive: true });
  return files
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .filter((file) => !file.startsWith('mutations'))
    .map((file) => join(SIMULATION, file));
}

async function translate(root: string, folder: string, file: string): Promise<void> {
  const { code } = await transform(await readFile(join(root, file), 'utf8'), TRANSLATION);
  const to = join(folder, file.replace(/\.ts$/, '.js'));
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, code);
}

async function plant(folder: string, mutation: Mutation): Promise<() => Promise<void>> {
  const before = new Map<string, string>();
  for (const { file, find, put } of mutation.changes) {
    const path = join(folder, file);
    const text = await readFile(path, 'utf8');
    const found = text.split(find).length - 1;
    if (found !== 1) throw new Error(`${mutation.name}: ${found} places in ${file}, not one`);
    if (!before.has(path)) before.set(path, text);
    await writeFile(
      path,
      text.replace(find, () => put),
    );
  }
  return async () => {
    for (const [path, text] of before) await writeFile(path, text);
  };
}
