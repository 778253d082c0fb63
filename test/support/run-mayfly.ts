import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

/** How a run of the built program ended, and what it said. */
export type Run = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
};

export type RunOptions = {
  /** All of the environment but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Standard input. */
  readonly input?: string;
  /** Told the process number as soon as there is one. */
  readonly started?: (pid: number) => void;
  /** Told the process number when it says its first words. */
  readonly speaking?: (pid: number) => void;
};

export const MAIN = resolve('dist/main.js');

/** Runs `mayfly` as people do: the built program, in a process of its own. */
export function runMayfly(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  return new Promise((done, refuse) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: options.cwd ?? process.cwd(),
      env: { PATH: process.env['PATH'], ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (part: Buffer) => (out += part.toString('utf8')));
    child.stderr.on('data', (part: Buffer) => (err += part.toString('utf8')));
    child.stdout.once('data', () => options.speaking?.(child.pid ?? 0));
    child.once('error', refuse);
    child.once('close', (code, signal) => done({ code, signal, out, err }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    if (child.pid !== undefined) options.started?.(child.pid);
  });
}
