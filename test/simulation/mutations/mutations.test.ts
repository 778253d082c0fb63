import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from './assemble.ts';
import type { Assembly } from './assemble.ts';
import { MUTATIONS } from './mutations.ts';

const PROVE = process.env['MAYFLY_PROVE'] === '1';
const TRIED = MUTATIONS.filter(({ quick }) => PROVE || quick);
const SEEDS = 60;
const LIVES = 200;

let assembly: Assembly;

beforeAll(async () => {
  assembly = await assemble(process.cwd(), tmpdir());
}, 60_000);
afterAll(async () => {
  await assembly.remove();
});

type Said = { readonly code: number; readonly text: string };

function simulation(seeds: number): Promise<Said> {
  const program = join(assembly.folder, 'test/simulation/run.js');
  const args = [program, '--seeds', String(seeds), '--lives', String(LIVES), '--seed', '1'];
  return new Promise((resolve) => {
    const options = { maxBuffer: 2 ** 26, timeout: 240_000 };
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, text: stdout + stderr });
    });
  });
}

test('every planted fault has its place in the program as it is', async () => {
  for (const mutation of MUTATIONS) {
    const restore = await assembly.plant(mutation);
    await restore();
  }
  expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
});

test('without one nothing is broken', async () => {
  const { code, text } = await simulation(PROVE ? SEEDS : 1);
  expect({ code, text: code === 0 ? '' : text }).toEqual({ code: 0, text: '' });
}, 300_000);

test.each(TRIED)(
  '$name is caught',
  async (mutation) => {
    const restore = await assembly.plant(mutation);
    try {
      const { code, text } = await simulation(SEEDS);
      expect(code).toBe(1);
      const [, invariant] = /^ {2}(\w+) at [\d.]+ s: /m.exec(text) ?? [];
      expect(mutation.breaks).toContain(invariant);
    } finally {
      await restore();
    }
  },
  300_000,
);
