import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { KINDS, SCHEMAS_FOLDER } from './kinds.ts';

/** A JSON Schema file below the catalogue folder. */
export type SchemaFile = { readonly name: string; readonly text: string };

/**
 * The JSON Schemas by which editors complete and check catalogue files, made from the definitions
 * that the loader uses. Draft 7, the one that editors understand best. What only shows when entries
 * are seen together is not in them: `mayfly check` finds it.
 */
export function schemaFiles(): SchemaFile[] {
  return KINDS.map(({ schema, definition }) => ({
    name: `${SCHEMAS_FOLDER}/${schema}.json`,
    text: `${JSON.stringify(z.toJSONSchema(definition, { target: 'draft-7', io: 'input' }), null, 2)}\n`,
  }));
}

/** Writes the schemas into a catalogue folder, over older ones. Rejects where there is no folder. */
export async function writeSchemaFiles(folder: string): Promise<void> {
  await stat(folder);
  await mkdir(join(folder, SCHEMAS_FOLDER), { recursive: true });
  await Promise.all(schemaFiles().map(({ name, text }) => writeFile(join(folder, name), text)));
}
