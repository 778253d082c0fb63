import { z } from 'zod';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/** Control, formatting (bidirectional, zero-width), surrogate and line-separating characters. */
const DECEIVING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** One line of prose that looks the same to everyone who reads it later. */
export const VisibleProse = z
  .string()
  .min(1)
  .max(REQUEST_BOUNDS.proseCharacters)
  .refine((text) => !DECEIVING.test(text), 'must be one line without control characters');
