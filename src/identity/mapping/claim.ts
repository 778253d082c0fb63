import { isObject } from '../../foundation/strict-json.ts';

/**
 * Reads a claim that is a string. A name that begins with `/` is a JSON Pointer (RFC 6901), for
 * claims inside objects, such as `/kubernetes.io/pod/uid`. Undefined when absent or not a string.
 */
export function stringClaim(
  claims: Readonly<Record<string, unknown>>,
  name: string,
): string | undefined {
  const value = readClaim(claims, name);
  return typeof value === 'string' ? value : undefined;
}

/** Reads a claim of any type by its name or JSON Pointer; undefined when absent. */
export function readClaim(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  const path = name.startsWith('/') ? name.slice(1).split('/').map(unescape) : [name];
  let value: unknown = claims;
  for (const member of path) {
    if (!isObject(value) || !Object.hasOwn(value, member)) return undefined;
    value = value[member];
  }
  return value;
}

function unescape(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~');
}
