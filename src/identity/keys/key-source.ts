import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Issuer } from '../../catalogue/issuer.ts';
import { isLoopback } from '../../catalogue/loopback.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { parseStrictObject } from '../../foundation/strict-json.ts';
import { deadlineIn, fetchDocument, parseKeyUrl } from './fetch-document.ts';
import type { Deadline, FetchOptions } from './fetch-document.ts';
import { parseKeyDocument } from './key-document.ts';
import type { KeyDocument } from './key-document.ts';
import type { KeyFormat } from './public-key.ts';

/** A reading, with the version of the file that it came from. */
export type LoadedKeys = { readonly document: KeyDocument; readonly version?: string };

/** Where an issuer's keys are read from. */
export type KeySource = {
  readonly kind: 'file' | 'url';
  readonly format: KeyFormat;
  /** Answers 'unchanged' where the file is still of `heldVersion`. Never rejects. */
  load(heldVersion: string | undefined): Promise<Result<LoadedKeys | 'unchanged', string>>;
};

export type KeySourceLimits = {
  /** Milliseconds for all that one reading fetches. */
  readonly timeoutMs: number;
  /** Bytes of a key set, bundle or discovery document. */
  readonly maxBytes: number;
  /** Folder against which relative paths of the catalogue are resolved. */
  readonly baseFolder: string;
};

/** Makes the source that an issuer's definition describes. Nothing is read before `load`. */
export function keySourceOf(issuer: Issuer, limits: KeySourceLimits): KeySource {
  const { keys } = issuer;
  if ('jwks_file' in keys) return fileSource(keys.jwks_file, 'jwks', limits);
  if ('bundle_file' in keys) return fileSource(keys.bundle_file, 'spiffe', limits);
  const getting = () => fetcher(issuer.ca_file, limits, deadlineIn(limits.timeoutMs));
  if ('jwks_url' in keys) return urlSource('jwks', () => succeedAsync(keys.jwks_url), getting);
  if ('bundle_url' in keys)
    return urlSource('spiffe', () => succeedAsync(keys.bundle_url), getting);
  return urlSource('jwks', (get) => discoverKeyUrl(issuer, get), getting);
}

type Get = (address: string) => Promise<Result<Buffer, string>>;

/** Reads the CA file anew for each fetch, so that a rotated authority needs no restart. */
function fetcher(caFile: string | undefined, limits: KeySourceLimits, deadline: Deadline): Get {
  return async (address) => {
    const url = parseKeyUrl(address);
    if (!url.ok) return url;
    const options: FetchOptions = { deadline, maxBytes: limits.maxBytes };
    if (caFile === undefined) return fetchDocument(url.value, options);
    const ca = await readBounded(resolve(limits.baseFolder, caFile), limits.maxBytes);
    return ca.ok ? fetchDocument(url.value, { ...options, ca: ca.value }) : ca;
  };
}

/** `getting` begins the deadline of one reading, which discovery and keys share. */
function urlSource(
  format: KeyFormat,
  address: (get: Get) => Promise<Result<string, string>>,
  getting: () => Get,
): KeySource {
  return {
    kind: 'url',
    format,
    load: async () => {
      const get = getting();
      const found = await address(get);
      if (!found.ok) return found;
      const body = await get(found.value);
      return body.ok ? readDocument(body.value, format) : body;
    },
  };
}

/**
 * Reads `jwks_uri` from the discovery document (OpenID Connect Discovery section 4), whose `issuer`
 * must be the configured one to the character: another one means that the host serves somebody else.
 */
async function discoverKeyUrl(issuer: Issuer, get: Get): Promise<Result<string, string>> {
  if (issuer.kind !== 'oidc') return fail('discovery needs an issuer of kind oidc; name a bundle');
  const base = issuer.issuer.replace(/\/$/, '');
  const body = await get(`${base}/.well-known/openid-configuration`);
  if (!body.ok) return fail(`the discovery document: ${body.failure}`);
  const document = parseStrictObject(body.value);
  if (!document) return fail('the discovery document is not a JSON object');
  if (document['issuer'] !== issuer.issuer) {
    return fail('the discovery document names another issuer than the catalogue');
  }
  const address = document['jwks_uri'];
  if (typeof address !== 'string') return fail('the discovery document has no jwks_uri');
  return staysAsSafe(issuer.issuer, address) ? succeed(address) : fail('its jwks_uri is not https');
}

/** A document that came by https must not send us to plain http on our own machine. */
function staysAsSafe(issuer: string, address: string): boolean {
  if (!URL.canParse(address)) return false;
  const url = new URL(address);
  return url.protocol === 'https:' || (issuer.startsWith('http:') && isLoopback(url.hostname));
}

function fileSource(file: string, format: KeyFormat, limits: KeySourceLimits): KeySource {
  const path = resolve(limits.baseFolder, file);
  return {
    kind: 'file',
    format,
    load: async (heldVersion) => {
      const version = await fileVersion(path);
      if (version !== undefined && version === heldVersion) return succeed('unchanged');
      const body = await readBounded(path, limits.maxBytes);
      return body.ok ? readDocument(body.value, format, version) : body;
    },
  };
}

function readDocument(
  bytes: Buffer,
  format: KeyFormat,
  version?: string,
): Result<LoadedKeys, string> {
  const document = parseKeyDocument(bytes, format);
  if (!document.ok) return document;
  return succeed({ document: document.value, ...(version === undefined ? {} : { version }) });
}

/** Changes when the file does, also when a mounted folder swaps the link that leads to it. */
async function fileVersion(path: string): Promise<string | undefined> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return undefined;
  }
}

async function readBounded(path: string, maxBytes: number): Promise<Result<Buffer, string>> {
  try {
    const { size } = await stat(path);
    if (size > maxBytes) return fail(`the file ${path} is larger than ${maxBytes} bytes`);
    return succeed(await readFile(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return fail(`the file ${path} cannot be read (${code ?? 'error'})`);
  }
}

function succeedAsync(text: string): Promise<Result<string, string>> {
  return Promise.resolve(succeed(text));
}
