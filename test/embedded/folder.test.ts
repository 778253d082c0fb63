import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../../src/foundation/clock.ts';
import { systemIds } from '../../src/foundation/ids.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { claim } from '../../src/embedded/claim.ts';
import { openFolder } from '../../src/embedded/folder.ts';
import { isRoot, newFolder, removeFolders } from './support/processes.ts';

const ids = systemIds(systemClock);
let path = '';

beforeEach(async () => {
  path = join(await newFolder(), 'state');
});
afterAll(removeFolders);

async function mode(file: string): Promise<number> {
  return (await stat(file)).mode & 0o777;
}

describe('a state folder', () => {
  test('keeps secrets over a restart, in files that only we can read', async () => {
    const first = await openFolder(path, ids);
    const made = await first.secret('ledger');
    await first.keepSecret('given', new SecretText('from elsewhere'));
    await first.release();
    const second = await openFolder(path, ids);
    expect((await second.secret('ledger')).reveal()).toBe(made.reveal());
    expect((await second.secret('given')).reveal()).toBe('from elsewhere');
    expect(made.reveal()).toMatch(/^[A-Za-z0-9]{32}$/);
    expect(await mode(second.secretFile('ledger'))).toBe(0o600);
    expect(await mode(join(path, 'secrets'))).toBe(0o700);
    // As root it must let Postgres's user through, but not look.
    expect(await mode(path)).toBe(isRoot ? 0o711 : 0o700);
    await second.release();
  });

  test('takes no path as the name of a secret', async () => {
    const folder = await openFolder(path, ids);
    for (const name of ['../x', 'a/b', '', '.hidden']) {
      expect(() => folder.secretFile(name)).toThrow('not a name for a secret');
    }
    await folder.release();
  });

  test('remembers ports, gives each name another one, and leaves taken ones', async () => {
    const folder = await openFolder(path, ids);
    const names = ['ledger', 'target', 'openbao', 'cluster'];
    const ports = await Promise.all(names.map((name) => folder.port(name)));
    expect(new Set(ports).size).toBe(names.length);
    expect(await Promise.all(names.map((name) => folder.port(name)))).toEqual(ports);
    const stranger = createServer().listen(ports[0], '127.0.0.1');
    await once(stranger, 'listening');
    expect(await folder.port('ledger')).not.toBe(ports[0]);
    stranger.close();
    await folder.release();
  });

  test('waits for the port of a server that is going down', async () => {
    const folder = await openFolder(path, ids);
    const leaving = createServer().listen(0, '127.0.0.1');
    await once(leaving, 'listening');
    const { port } = leaving.address() as AddressInfo;
    await writeFile(folder.inside('ports.json'), JSON.stringify({ ledger: port }));
    setTimeout(() => leaving.close(), 300);
    expect(await folder.port('ledger')).toBe(port);
    await folder.release();
  });

  test('is refused to a second user while the first one lives', async () => {
    const folder = await openFolder(path, ids);
    await expect(openFolder(path, ids)).rejects.toThrow(`in use by process ${process.pid}.`);
    await folder.release();
    await (await openFolder(path, ids)).release();
  });
});

describe('a claim', () => {
  test('counts for nothing when its process is gone', async () => {
    const gone = spawn('/bin/true');
    await once(gone, 'exit');
    await writeFile(path, `${gone.pid} 12345\n`);
    await (await claim(path, 'It')).release();
  });

  test('counts for nothing when its number belongs to another process now', async () => {
    await writeFile(path, `${process.pid} 1\n`);
    await (await claim(path, 'It')).release();
  });

  test.each(['', 'nonsense', '-1 5', '1'])('that says "%s" is taken over', async (content) => {
    await writeFile(path, content);
    await (await claim(path, 'It')).release();
  });

  test('goes to exactly one of many who find a dead one', async () => {
    await writeFile(path, '999999999 1\n');
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => claim(path, 'It')));
    const won = results.filter((result) => result.status === 'fulfilled');
    expect(won).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+\n$`));
    const rest = await readdir(join(path, '..'));
    expect(rest).toEqual(['state']);
  });
});
