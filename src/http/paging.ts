import { z } from 'zod';
import { REQUEST_BOUNDS } from './server-bounds.ts';

const { cursorCharacters, pageDefault, pageMax } = REQUEST_BOUNDS;

/** The parameters of every list. */
export const PAGING = {
  limit: z
    .string()
    .refine(isPageSize, `must be a whole number, 1 to ${pageMax}`)
    .transform(Number)
    .default(pageDefault),
  cursor: z
    .string()
    .regex(
      new RegExp(`^[\\x21-\\x7e]{1,${cursorCharacters}}$`),
      'must be the cursor of an earlier page',
    )
    .optional(),
};

/** A name or an id to look for: compared as it is, so it only has to be bounded. */
export const Wanted = z.string().regex(/^[\x20-\x7e]{1,300}$/, 'must be printable ASCII');

/** `true` or `false`; anything else would be guessed at. */
export const Flag = z
  .enum(['true', 'false'], 'must be true or false')
  .transform((text) => text === 'true');

function isPageSize(text: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= pageMax;
}
