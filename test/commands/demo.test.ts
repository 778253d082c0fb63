import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runMayfly } from '../support/run-mayfly.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-demo-'));
  // Passable for the user that Postgres runs as when we are root.
  await chmod(folder, 0o711);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Processes whose command line or working folder lies in this folder. */
async function processesOf(place: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return line.includes(place) ? [`${pid} ${line.replaceAll('\0', ' ')}`] : [];
    }),
  );
  return found.flat();
}

async function goneWithin(ms: number, place: string): Promise<readonly string[]> {
  const giveUpAt = performance.now() + ms;
  let left = await processesOf(place);
  while (left.length > 0 && performance.now() < giveUpAt) {
    await new Promise((later) => setTimeout(later, 50));
    left = await processesOf(place);
  }
  return left;
}

describe('mayfly demo', () => {
  test('two side by side tell the story, every claim holds, and nothing is left running', async () => {
    const runs = await Promise.all(
      ['one', 'two'].map((name) => runMayfly(['demo', '--once', '--folder', join(folder, name)])),
    );
    for (const { code, out, err } of runs) {
      expect(err).toBe('');
      expect(out).toMatch(/\d\d claims held, 0 did not/);
      expect(out).not.toContain('FAILED');
      expect(out).toContain('FOR TRYING OUT ONLY');
      expect(code).toBe(0);
    }
    expect(await goneWithin(0, folder)).toEqual([]);
  }, 90_000);

  test('a second time on the same folder, and Ctrl-C in the middle leaves nothing', async () => {
    const place = join(folder, 'one');
    const running = runMayfly(['demo', '--folder', place], {
      started: (pid) => void interrupt(pid, place, 'SIGINT'),
    });
    const { out } = await running;
    expect(out).toContain('Stopping everything');
    expect(await goneWithin(0, place)).toEqual([]);
  }, 60_000);

  test('Ctrl-C while the parts are being started leaves nothing either', async () => {
    const place = join(folder, 'early');
    const { code, out } = await runMayfly(['demo', '--folder', place], {
      // It listens for signals before it says anything, however slow the machine is.
      speaking: (pid) => setTimeout(() => process.kill(pid, 'SIGINT'), 500),
    });
    expect(code).toBe(1);
    expect(out).toContain('Interrupted');
    expect(await goneWithin(5_000, place)).toEqual([]);
  }, 60_000);

  test('kill -9 leaves nothing for longer than five seconds', async () => {
    const place = join(folder, 'two');
    const { signal } = await runMayfly(['demo', '--folder', place], {
      started: (pid) => void interrupt(pid, place, 'SIGKILL'),
    });
    expect(signal).toBe('SIGKILL');
    expect(await goneWithin(5_000, place)).toEqual([]);
  }, 60_000);
});

/** Sends the signal as soon as a broker of that demo runs. */
async function interrupt(pid: number, place: string, signal: NodeJS.Signals): Promise<void> {
  const running = async () =>
    (await processesOf(place)).some((line) => /main\.js serve/.test(line));
  while (!(await running())) await new Promise((later) => setTimeout(later, 50));
  // Into the story.
  await new Promise((later) => setTimeout(later, 500));
  process.kill(pid, signal);
}
