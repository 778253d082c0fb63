import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCatalogue } from '../../src/catalogue/load.ts';

/** The catalogue of this repository: sound, so that each edit makes exactly one thing wrong. */
export const SOUND = join(import.meta.dirname, '../../config');

export const SETTINGS: Readonly<Record<string, string>> = {
  DEMO_ISSUER: 'http://127.0.0.1:9000',
  ORDERS_PORT: '5433',
};

/** A change to one file: a replacement of a text that must be there, or the whole new text. */
export type Edit =
  | { readonly file: string; readonly from: string; readonly to: string }
  | { readonly file: string; readonly write: string }
  | { readonly file: string; readonly remove: true }
  | { readonly file: string; readonly mkdir: true };

/** Copies the sound catalogue, edits it, and removes the copy after use. */
export async function withEdited<Value>(
  edits: readonly Edit[],
  use: (folder: string) => Promise<Value>,
): Promise<Value> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-catalogue-'));
  try {
    await cp(SOUND, folder, { recursive: true });
    for (const edit of edits) await apply(folder, edit);
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function apply(folder: string, edit: Edit): Promise<void> {
  const path = join(folder, edit.file);
  if ('remove' in edit) return rm(path, { recursive: true });
  if ('mkdir' in edit) return void (await mkdir(path));
  if ('write' in edit) return writeFile(path, edit.write);
  const text = await readFile(path, 'utf8');
  if (!text.includes(edit.from)) throw new Error(`${edit.file} has no "${edit.from}"`);
  await writeFile(
    path,
    text.replace(edit.from, () => edit.to),
  );
}

/** Loads a folder with the demo's settings on a fixed day. */
export function load(folder: string, more: { tolerateUnset?: boolean } = {}) {
  return loadCatalogue({
    folder,
    settings: {
      publicUrl: 'http://127.0.0.1:8700',
      resolve: (name) => (more.tolerateUnset ? undefined : SETTINGS[name]),
      ...more,
    },
    now: new Date('2026-11-22T12:00:00Z'),
  });
}
