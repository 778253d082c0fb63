import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Where pip reads its configuration on Linux and macOS. */
const PIP_CONFIGURATIONS = [
  join(homedir(), '.config', 'pip', 'pip.conf'),
  join(homedir(), '.pip', 'pip.conf'),
  '/etc/pip.conf',
];

const JSON_INDEX = 'application/vnd.pypi.simple.v1+json';
/** Milliseconds for the answer to begin; the file itself may take as long as it flows. */
const ANSWER_TIMEOUT_MS = 20_000;

/**
 * The package index that pip's configuration files name; undefined where none does. Without pip
 * and without one, nobody told us whom to trust, so nothing is fetched.
 */
export async function configuredIndex(files = PIP_CONFIGURATIONS): Promise<string | undefined> {
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '');
    const found = /^\s*index-url\s*=\s*(\S+)\s*$/m.exec(text)?.[1];
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

/**
 * Fetches one file of a package from an index (PEP 503 and PEP 691) without pip.
 *
 * @throws one sentence that says what did not work. The caller checks the file's hash.
 */
export async function fetchFromIndex(
  wanted: { readonly index: string; readonly project: string; readonly file: string },
  target: string,
  progress: (bytes: number) => void,
): Promise<void> {
  const page = new URL(`${wanted.index.replace(/\/+$/, '')}/${wanted.project}/`);
  const listing = await get(page, `${JSON_INDEX}, text/html;q=0.1`);
  const url = fileUrl(await listing.text(), wanted.file, page);
  if (url === undefined) {
    throw new Error(`the package index offers no ${wanted.file}`);
  }
  const { body } = await get(url, '*/*');
  if (body === null) {
    throw new Error(`the package index sent nothing for ${wanted.file}`);
  }
  await pipeline(Readable.fromWeb(body), counting(progress), createWriteStream(target));
}

/** Finds a file's address in an index page, JSON or HTML. */
export function fileUrl(listing: string, file: string, page: URL): URL | undefined {
  const quoted = file.replaceAll('.', '\\.');
  const address = new RegExp(`"([^"\\s]*/)?${quoted}(#[^"]*)?"`);
  const candidates = [...listing.matchAll(new RegExp(address, 'g'))].map((match) => match[0]);
  const found = candidates.find((candidate) => candidate.includes('/')) ?? candidates[0];
  return found === undefined ? undefined : new URL(found.slice(1, -1), page);
}

async function get(url: URL, accept: string): Promise<Response> {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), ANSWER_TIMEOUT_MS);
  const response = await fetch(url, { headers: { accept }, signal: giveUp.signal })
    .catch(() => {
      throw new Error('the package index cannot be reached');
    })
    .finally(() => clearTimeout(timer));
  if (!response.ok) {
    throw new Error(`the package index answered ${response.status}`);
  }
  return response;
}

function counting(progress: (bytes: number) => void): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      progress(bytes);
      done(null, chunk);
    },
  });
}
