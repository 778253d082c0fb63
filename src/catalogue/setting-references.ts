import type { CatalogueProblem } from './catalogue.ts';
import { fieldProblem } from './document.ts';
import type { ParsedFile } from './document.ts';
import type { AddressPath } from './kinds.ts';
import type { FieldPath } from './problem.ts';
import { SETTING_REFERENCE } from './wording.ts';

/** Gives the text of a setting by its name in the catalogue, or undefined where it is not set. */
export type ResolveSetting = (name: string) => string | undefined;

export type FilledIn = {
  readonly data: unknown;
  readonly problems: readonly CatalogueProblem[];
  /** Names that are not set, whether or not that is a problem. */
  readonly unset: readonly string[];
};

/** Stands for a setting that is not set. The name can exist nowhere (RFC 6761, `.invalid`). */
const PLACEHOLDER_HOST = 'setting.invalid';
const PLACEHOLDER_PORT = 1;

/** True for an address that holds a placeholder: nothing can be said about it. */
export function isPlaceholder(address: string): boolean {
  return address.includes(PLACEHOLDER_HOST);
}

/**
 * Replaces `${setting:NAME}` in the addresses of an entry. A reference anywhere else is a problem.
 * So is one that is not set, unless `tolerant`: then a placeholder takes its place, so that a
 * catalogue can be checked where its settings do not exist.
 */
export function fillInSettings(
  parsed: ParsedFile,
  addresses: readonly AddressPath[],
  resolve: ResolveSetting,
  tolerant: boolean,
): FilledIn {
  const problems: CatalogueProblem[] = [];
  const unset: string[] = [];
  const visit = (value: unknown, path: FieldPath): unknown => {
    if (typeof value === 'string') return text(value, path);
    if (Array.isArray(value)) return value.map((item, index) => visit(item, [...path, index]));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, visit(member, [...path, key])]),
    );
  };
  const text = (value: string, path: FieldPath): unknown => {
    if (!value.includes('${')) return value;
    const complaint = complaintAbout(value, path, addresses);
    if (complaint) {
      problems.push(fieldProblem(parsed, path, ...complaint));
      return value;
    }
    const missing = referencesIn(value).filter((name) => resolve(name) === undefined);
    unset.push(...missing);
    if (!tolerant) problems.push(...missing.map((name) => unsetProblem(parsed, path, name)));
    return filled(value, path, resolve);
  };
  return { data: visit(parsed.data, []), problems, unset };
}

function complaintAbout(
  value: string,
  path: FieldPath,
  addresses: readonly AddressPath[],
): [string, string] | undefined {
  if (!addresses.some((address) => matches(address, path))) {
    return ['refers to a setting, which only addresses may', 'Write the value itself.'];
  }
  const rest = value.replaceAll(SETTING_REFERENCE, '');
  return rest.includes('${')
    ? ['holds a reference that cannot be read', 'Write ${setting:NAME}, with NAME in capitals.']
    : undefined;
}

function unsetProblem(parsed: ParsedFile, path: FieldPath, name: string): CatalogueProblem {
  const remedy = `Set MAYFLY_ADDRESS_${name}.`;
  return fieldProblem(parsed, path, `refers to the setting ${name}, which is not set`, remedy);
}

function matches(address: AddressPath, path: FieldPath): boolean {
  return (
    address.length === path.length &&
    address.every((step, index) => step === path[index] || (step === '*' && index in path))
  );
}

function referencesIn(value: string): string[] {
  return [...value.matchAll(SETTING_REFERENCE)].flatMap((match) => match[1] ?? []);
}

function filled(value: string, path: FieldPath, resolve: ResolveSetting): unknown {
  const isPort = path.at(-1) === 'port';
  const text = value.replaceAll(SETTING_REFERENCE, (_whole, name: string) => {
    const known = resolve(name)?.trim();
    if (known !== undefined) return known;
    if (isPort) return String(PLACEHOLDER_PORT);
    return `${name.toLowerCase().replaceAll('_', '-')}.${PLACEHOLDER_HOST}`;
  });
  return isPort && /^\d{1,5}$/.test(text) ? Number(text) : text;
}
