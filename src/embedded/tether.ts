import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Child } from './child.ts';

/** Looks, a fifth of a second apart, before the last signal: two seconds. */
const TETHER_LOOKS = 10;

/**
 * Waits for the end of its input, which is a pipe that we hold and that the system closes when we
 * die; then ends the process, first kindly. It looks in between, since the number of a process
 * that is gone may soon be another's.
 */
function script(signal: NodeJS.Signals): string {
  return `read -r _
kill -${signal.slice('SIG'.length)} "$1" || exit
looks=${TETHER_LOOKS}
while [ $looks -gt 0 ]; do
  sleep 0.2
  kill -0 "$1" || exit
  looks=$((looks - 1))
done
kill -KILL "$1"`;
}

/**
 * Ties a process to our life with a small shell beside it: where setpriv(1) is missing, on macOS
 * for one, and where the first signal may not be enough.
 */
export function tether(child: Child, signal: NodeJS.Signals): void {
  const shell = spawn('/bin/sh', ['-c', script(signal), 'mayfly-tether', String(child.pid)], {
    env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Without a shell the server still runs; it only loses this net.
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  shell.unref();
  if (shell.stdin instanceof Socket) {
    shell.stdin.unref();
  }
  void child.exited.then(() => shell.kill('SIGKILL'));
}
