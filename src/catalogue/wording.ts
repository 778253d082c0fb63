import { z } from 'zod';

/** Names of catalogue entries: they reach paths, policies and metrics, so only these characters. */
export const Name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9 and "-", and begin with a letter');

/**
 * Control characters, line separators, and the invisible and direction-changing ones that make a
 * text look like another one in a list or a terminal. `\n` is checked apart.
 */
const DECEPTIVE =
  '\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff';

/** One line of prose for people. Characters. */
const LINE_MAX = 300;
export const Line = z
  .string()
  .min(1)
  .max(LINE_MAX)
  .regex(new RegExp(`^[^\\u000a${DECEPTIVE}]*$`), 'must be one line without invisible characters');

/** A paragraph for people. Characters. */
const PROSE_MAX = 4000;
export const Prose = z
  .string()
  .min(1)
  .max(PROSE_MAX)
  .regex(new RegExp(`^[^${DECEPTIVE}]*$`), 'must be plain text without invisible characters');

/** An entry of actions, locations or data types: 1 to 256 visible characters (API bound). */
export const Entry = z
  .string()
  .regex(/^[\x21-\x7e]{1,256}$/, 'must be 1 to 256 visible ASCII characters');

/** A list that names nothing twice; `uniqueItems` tells editors so. */
export function distinct<Item extends z.ZodType<string>>(item: Item, max: number) {
  return z
    .array(item)
    .min(1)
    .max(max)
    .refine((list) => new Set(list).size === list.length, 'must not repeat an entry')
    .meta({ uniqueItems: true });
}

/** Entries of one dimension of a task or scope (API bound). */
const ENTRIES_MAX = 32;

/** At most 32 entries, none twice. */
export const Entries = distinct(Entry, ENTRIES_MAX);

/** Names of other entries that one entry may refer to: enough for any, short enough to read. */
const REFERENCES_MAX = 256;
export const Names = distinct(Name, REFERENCES_MAX);

/** A whole number of seconds, at least 1. */
export const Seconds = z.int().min(1);

export const Risk = z.enum(['low', 'medium', 'high', 'critical']);

/**
 * What may be touched: the same three dimensions for a task type's ceiling, a task and a scope's
 * grants (RFC 9396 section 2.2). `datatypes` absent means that data types are not restricted.
 */
export const Reach = z.strictObject({
  actions: Entries.describe('What is done, for example read or write.'),
  locations: Entries.describe(
    'Where: URLs; one covers itself and all that lies below it by path segment.',
  ),
  datatypes: Entries.describe('Which kinds of data; absent: not restricted.').optional(),
});

/** A part of an address that the settings give (`MAYFLY_ADDRESS_<NAME>`). */
export const SETTING_REFERENCE = /\$\{setting:([A-Z][A-Z0-9_]{0,62})\}/g;
