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
    if (!isObject(value) || repeatsMember(text)) return undefined;
    return value;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scans a text that is known to be JSON, so that only brackets, commas and strings matter. */
function repeatsMember(json: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  let nameComes = false;
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : undefined);
      nameComes = character === '{';
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === ',') {
      nameComes = open.at(-1) !== undefined;
    } else if (character === '"') {
      const end = endOfString(json, at);
      if (nameComes && !rememberName(open.at(-1), json.slice(at, end + 1))) return true;
      nameComes = false;
      at = end;
    }
  }
  return false;
}

/** False when the name was there before. Names are compared after their escapes are resolved. */
function rememberName(names: Set<string> | undefined, quoted: string): boolean {
  const name = JSON.parse(quoted) as string;
  if (names === undefined || names.has(name)) return false;
  names.add(name);
  return true;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}
