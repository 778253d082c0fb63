import { z } from 'zod';

/** Names of catalogue entries: they reach paths, policies and metrics, so only these characters. */
export const Name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9 and "-", and begin with a letter');

/** One line of prose for people. Characters. */
const LINE_MAX = 300;
export const Line = z.string().min(1).max(LINE_MAX);

/** A paragraph for people. Characters. */
const PROSE_MAX = 4000;
export const Prose = z.string().min(1).max(PROSE_MAX);

/** An entry of actions, locations or data types: 1 to 256 visible characters (API bound). */
export const Entry = z
  .string()
  .regex(/^[\x21-\x7e]{1,256}$/, 'must be 1 to 256 visible ASCII characters');

/** At most 32 entries, none twice. */
export const Entries = z
  .array(Entry)
  .min(1)
  .max(32)
  .refine((list) => new Set(list).size === list.length, 'must not repeat an entry');

/** A whole number of seconds, at least 1. */
export const Seconds = z.int().min(1);

export const Risk = z.enum(['low', 'medium', 'high', 'critical']);

/**
 * What may be touched: the same three dimensions for a task type's ceiling, a task and a scope's
 * grants (RFC 9396 section 2.2). `datatypes` absent means that data types are not restricted.
 */
export const Reach = z.strictObject({
  actions: Entries,
  locations: Entries,
  datatypes: Entries.optional(),
});
