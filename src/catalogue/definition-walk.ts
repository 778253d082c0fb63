import { z } from 'zod';
import type { FieldPath } from './problem.ts';

/** The fields that a definition knows at a path, for "did you mean". */
export function fieldsAt(definition: z.ZodType, path: FieldPath, data: unknown): string[] {
  return definitionsAt(definition, path, data).flatMap((found) =>
    found instanceof z.ZodObject ? Object.keys(found.shape) : [],
  );
}

/** What a definition says about the field at a path, in its own words (`describe`). */
export function describedAt(
  definition: z.ZodType,
  path: FieldPath,
  data: unknown,
): string | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const said = walk([definition], path.slice(0, length), data)
      .map(descriptionOf)
      .find((text) => text !== undefined);
    if (said !== undefined) return said;
  }
  return undefined;
}

function definitionsAt(definition: z.ZodType, path: FieldPath, data: unknown): z.ZodType[] {
  return walk([definition], path, data).flatMap((found) => unwrapped(found));
}

/** Follows a path through objects, lists and records; a union is followed by its options. */
function walk(from: readonly z.ZodType[], path: FieldPath, data: unknown): z.ZodType[] {
  const [step, ...rest] = path;
  if (step === undefined) return [...from];
  const next = from
    .flatMap((definition) => unwrapped(definition, data))
    .flatMap((definition) => child(definition, step));
  const inner =
    data !== null && typeof data === 'object'
      ? (data as Record<string | number, unknown>)[step]
      : undefined;
  return walk(next, rest, inner);
}

function child(definition: z.ZodType, step: string | number): z.ZodType[] {
  if (definition instanceof z.ZodObject) {
    const field: unknown = (definition.shape as Record<string, unknown>)[String(step)];
    return field instanceof z.ZodType ? [field] : [];
  }
  if (definition instanceof z.ZodArray) return [definition.element as z.ZodType];
  if (definition instanceof z.ZodRecord) return [definition.valueType as z.ZodType];
  return [];
}

/** Takes off `optional`, `default` and `transform`, and opens unions. */
function unwrapped(definition: z.ZodType, data?: unknown): z.ZodType[] {
  if (definition instanceof z.ZodOptional || definition instanceof z.ZodDefault) {
    return unwrapped(definition.unwrap() as z.ZodType, data);
  }
  if (definition instanceof z.ZodPipe) return unwrapped(definition.in as z.ZodType, data);
  if (definition instanceof z.ZodUnion) {
    const options = definition.options as readonly z.ZodType[];
    const chosen = options.filter((option) => fitsDiscriminator(option, data));
    return (chosen.length > 0 ? chosen : options).flatMap((option) => unwrapped(option, data));
  }
  return [definition];
}

/** Every discriminated union of the catalogue is told apart by `kind`. */
function fitsDiscriminator(option: z.ZodType, data: unknown): boolean {
  if (!(option instanceof z.ZodObject) || data === null || typeof data !== 'object') return false;
  const kind: unknown = (option.shape as Record<string, unknown>)['kind'];
  return kind instanceof z.ZodLiteral && kind.values.has((data as Record<string, never>)['kind']);
}

/** The values of `kind` between which a discriminated union chooses. */
export function kindsOf(definition: z.ZodType): string[] {
  return unwrapped(definition).flatMap((option) => {
    if (!(option instanceof z.ZodObject)) return [];
    const kind: unknown = (option.shape as Record<string, unknown>)['kind'];
    return kind instanceof z.ZodLiteral ? [...kind.values].map(String) : [];
  });
}

function descriptionOf(definition: z.ZodType): string | undefined {
  if (definition.description !== undefined) return definition.description;
  if (definition instanceof z.ZodOptional || definition instanceof z.ZodDefault) {
    return descriptionOf(definition.unwrap() as z.ZodType);
  }
  return definition instanceof z.ZodPipe ? descriptionOf(definition.in as z.ZodType) : undefined;
}
