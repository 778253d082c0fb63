const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses a JSON object from bytes. Undefined when the bytes are not UTF-8, not JSON, not an object,
 * or when an object at any depth names a member twice: two readers of such a text may see two
 * different values (RFC 7515 section 4, RFC 7519 section 4).
 */
export function parseStrictObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const text = UTF8.decode(bytes);
    const value: unknown = JSON.parse(text);
    if (!isObject(value) || repeatedMember(text) !== undefined) return undefined;
    return value;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object or list that is open while a text is scanned. */
type Open = { readonly names: Set<string> | undefined; name: string };

/**
 * The first member that an object of this text names twice, as the names that lead to it; names are
 * compared after their escapes are resolved. The text must be JSON already, so that only brackets,
 * commas and strings matter.
 */
export function repeatedMember(json: string): readonly string[] | undefined {
  const open: Open[] = [];
  let nameComes = false;
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (character === '{' || character === '[') {
      open.push({ names: character === '{' ? new Set() : undefined, name: '' });
      nameComes = character === '{';
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === ',') {
      nameComes = open.at(-1)?.names !== undefined;
    } else if (character === '"') {
      const end = endOfString(json, at);
      const object = open.at(-1);
      if (nameComes && object && !rememberName(object, json.slice(at, end + 1))) {
        return open.filter(({ names }) => names !== undefined).map(({ name }) => name);
      }
      nameComes = false;
      at = end;
    }
  }
  return undefined;
}

/** False when the name was there before. */
function rememberName(object: Open, quoted: string): boolean {
  object.name = JSON.parse(quoted) as string;
  if (object.names?.has(object.name)) return false;
  object.names?.add(object.name);
  return true;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}
