import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';

/**
 * Calls a WebAssembly function that returns a reference, in code hot enough to be optimised, and
 * makes the calling code invalid during the call. No Cedar in it: this is what Cedar's glue does.
 */
const PROOF = `
const bytes = new Uint8Array([0,0x61,0x73,0x6d,1,0,0,0, 1,6,1,0x60,1,0x6f,1,0x6f, 2,7,1,1,0x6d,1,0x67,0,0,
  3,2,1,0, 7,5,1,1,0x66,0,1, 0x0a,8,1,6,0,0x20,0,0x10,0,0x0b]);
let deopt = false; const proto = {}; const obj = Object.create(proto);
const inst = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { g(x) {
  if (deopt) Object.defineProperty(proto, 'z', { get() { return 2; }, configurable: true }); return x; } } });
Object.defineProperty(proto, 'z', { get() { return 1; }, configurable: true });
const f = inst.exports.f; function caller(x) { const r = f(x); return r.a + obj.z; }
for (let round = 0; round < 20; round++) { deopt = false; for (let i = 0; i < 60000; i++) caller({ a: i });
  deopt = true; caller({ a: 1 }); }
console.log('survived');
`;

type Ended = { readonly output: string; readonly signal: string | null };

function runNode(script: string): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', script], { encoding: 'utf8' }, (error, output) => {
      resolve({ output: output.trim(), signal: (error?.signal as string | undefined) ?? null });
    });
  });
}

/** Node 24 has the fault mended; below it, the flag is all that keeps the broker alive. */
const isFaulty = Number(process.versions.node.split('.')[0]) < 24;
const onFaulty = isFaulty ? test : test.skip;

describe('the V8 fault that ends the process when Cedar is hot', () => {
  onFaulty('is there without the flag', async () => {
    expect(await runNode(PROOF)).toMatchObject({ output: '', signal: 'SIGTRAP' });
  });

  test('is not there with the flag that is set before Cedar is loaded', async () => {
    const source = await readFile(
      join(import.meta.dirname, '../../src/policy/v8-flags.ts'),
      'utf8',
    );
    const [, flag] = /v8\.setFlagsFromString\('(--no-[^']+)'\)/.exec(source) ?? [];
    expect(flag).toBeDefined();
    const script = `require('node:v8').setFlagsFromString('${flag}');${PROOF}`;
    expect(await runNode(script)).toEqual({ output: 'survived', signal: null });
  });
});
