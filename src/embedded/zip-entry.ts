import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

/** Bytes; the end record may be followed by a comment of up to 65,535. */
const END_RECORD = 22;
const LONGEST_COMMENT = 65_535;
const END_SIGNATURE = 0x06054b50;
const DIRECTORY_SIGNATURE = 0x02014b50;
const DIRECTORY_HEADER = 46;
const LOCAL_HEADER = 30;
const STORED = 0;
const DEFLATED = 8;

/**
 * Writes one entry of a zip file (APPNOTE.TXT 4.3) to `target`. For files whose hash was checked:
 * nothing in it is defended against a hostile archive, and archives above 4 GiB are not read.
 *
 * @throws when there is no such entry, or when it is packed in another way than deflate.
 */
export async function extractEntry(zip: string, name: string, target: string): Promise<void> {
  const file = await open(zip, 'r');
  try {
    const entry = find(await directory(file), name);
    if (entry === undefined) {
      throw new Error(`${zip} holds no ${name}.`);
    }
    if (entry.method !== STORED && entry.method !== DEFLATED) {
      throw new Error(`${name} in ${zip} is packed in a way that is not known here.`);
    }
    await unpack(zip, entry, await contentStart(file, entry), target);
  } finally {
    await file.close();
  }
}

type Entry = {
  readonly method: number;
  readonly packedBytes: number;
  readonly headerOffset: number;
};

async function directory(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const tail = await read(file, Math.max(0, size - END_RECORD - LONGEST_COMMENT), size);
  for (let at = tail.length - END_RECORD; at >= 0; at--) {
    if (tail.readUInt32LE(at) === END_SIGNATURE) {
      const start = tail.readUInt32LE(at + 16);
      return read(file, start, start + tail.readUInt32LE(at + 12));
    }
  }
  throw new Error('Not a zip file.');
}

function find(entries: Buffer, name: string): Entry | undefined {
  let at = 0;
  while (at + DIRECTORY_HEADER <= entries.length && hasHeader(entries, at)) {
    const nameLength = entries.readUInt16LE(at + 28);
    const nameStart = at + DIRECTORY_HEADER;
    if (entries.toString('utf8', nameStart, nameStart + nameLength) === name) {
      return {
        method: entries.readUInt16LE(at + 10),
        packedBytes: entries.readUInt32LE(at + 20),
        headerOffset: entries.readUInt32LE(at + 42),
      };
    }
    at = nameStart + nameLength + entries.readUInt16LE(at + 30) + entries.readUInt16LE(at + 32);
  }
  return undefined;
}

function hasHeader(entries: Buffer, at: number): boolean {
  return entries.readUInt32LE(at) === DIRECTORY_SIGNATURE;
}

/** The local header's name and extra field may differ in length from the directory's. */
async function contentStart(file: FileHandle, entry: Entry): Promise<number> {
  const header = await read(file, entry.headerOffset, entry.headerOffset + LOCAL_HEADER);
  const lengths = header.readUInt16LE(26) + header.readUInt16LE(28);
  return entry.headerOffset + LOCAL_HEADER + lengths;
}

async function unpack(zip: string, entry: Entry, start: number, target: string): Promise<void> {
  const packed = createReadStream(zip, { start, end: start + entry.packedBytes - 1 });
  const out = createWriteStream(target, { mode: 0o755 });
  await (entry.method === STORED
    ? pipeline(packed, out)
    : pipeline(packed, createInflateRaw(), out));
}

async function read(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(end - start);
  await file.read(buffer, 0, buffer.length, start);
  return buffer;
}
