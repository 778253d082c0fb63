import { z } from 'zod';
import { isVisibleLine } from '../broker/visible-line.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/** One line of prose that looks the same to everyone who reads it later. */
export const VisibleProse = z
  .string()
  .min(1)
  .max(REQUEST_BOUNDS.proseCharacters)
  .refine(isVisibleLine, 'must be one line of visible characters, without control characters');
