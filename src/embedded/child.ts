import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { systemClock } from '../foundation/clock.ts';
import { findSetpriv } from './setpriv.ts';
import type { SystemUser } from './system-user.ts';
import { tether } from './tether.ts';

export type ChildExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A server that we started and that never outlives us. */
export type Child = {
  readonly pid: number;
  /** Resolves when the process is gone. */
  readonly exited: Promise<ChildExit>;
  isRunning(): boolean;
  /** Sends a signal; nothing happens when the process is gone already. */
  kill(signal: NodeJS.Signals): void;
};

export type ChildCommand = {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Where standard output and standard error go: an open file descriptor. */
  readonly output: number;
  /** What it sees besides a PATH and the C locale; `inherited`: all that we see. */
  readonly environment?: Readonly<Record<string, string>> | 'inherited';
  /** The user to run as; absent: ourselves. */
  readonly user?: SystemUser | undefined;
  /** What it gets when we die without having stopped it. */
  readonly deathSignal: 'SIGINT' | 'SIGKILL';
};

/** All that a server needs of the environment. Ours may hold secrets and is not handed on. */
const CHILD_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', LANG: 'C' };

/**
 * Starts a server so that it dies when we die, however that happens, and so that Ctrl-C in the
 * terminal reaches only us: we stop our servers ourselves, in order.
 *
 * @throws when the program cannot be started.
 */
export async function startChild(
  command: ChildCommand,
  setprivFound: Promise<string | undefined> = findSetpriv(),
): Promise<Child> {
  const setpriv = await setprivFound;
  const plan = setpriv === undefined ? plainly(command) : throughSetpriv(setpriv, command);
  const started = spawn(plan.command, plan.args, {
    cwd: command.cwd,
    ...environmentOf(command),
    detached: true,
    stdio: ['ignore', command.output, command.output],
    ...(plan.user ? { uid: plan.user.uid, gid: plan.user.gid } : {}),
  });
  const pid = await spawned(started, command.command);
  const child = watch(started, pid);
  // A signal that can be waited out, or that waits for a stopped process, needs a second one.
  if (setpriv === undefined || command.deathSignal !== 'SIGKILL') {
    tether(child, command.deathSignal);
  }
  return child;
}

/**
 * Stops a child: each signal in turn, with the time in milliseconds that it has to work.
 */
export async function stopChild(
  child: Child,
  steps: readonly (readonly [signal: NodeJS.Signals, patienceMs: number])[],
): Promise<void> {
  for (const [signal, patienceMs] of steps) {
    child.kill(signal);
    // A stopped process takes no other signal than SIGKILL.
    child.kill('SIGCONT');
    if (await exitsWithin(child, patienceMs)) {
      return;
    }
  }
  throw new Error(`Process ${child.pid} does not end.`);
}

/** True when the child is gone within `ms` milliseconds. */
export async function exitsWithin(child: Child, ms: number): Promise<boolean> {
  const giveUp = new AbortController();
  await Promise.race([child.exited, systemClock.sleep(ms, giveUp.signal)]);
  giveUp.abort();
  return !child.isRunning();
}

/** Node hands its own environment on where none is given. */
function environmentOf({ environment }: ChildCommand): { env?: Record<string, string> } {
  return environment === 'inherited' ? {} : { env: { ...CHILD_ENVIRONMENT, ...environment } };
}

type Plan = { command: string; args: readonly string[]; user?: SystemUser | undefined };

function plainly(command: ChildCommand): Plan {
  return { command: command.command, args: command.args, user: command.user };
}

/** setpriv(1) asks the kernel for a signal at our death, changes the user, and becomes the server. */
function throughSetpriv(setpriv: string, command: ChildCommand): Plan {
  const { user } = command;
  const identity = user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'] : [];
  const death = `--pdeathsig=${command.deathSignal.slice('SIG'.length)}`;
  return { command: setpriv, args: [...identity, death, '--', command.command, ...command.args] };
}

function spawned(started: ChildProcess, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    started.once('error', (error) => reject(new Error(`Cannot start ${name}: ${error.message}`)));
    started.once('spawn', () => resolve(started.pid ?? 0));
  });
}

function watch(started: ChildProcess, pid: number): Child {
  let running = true;
  const exited = new Promise<ChildExit>((resolve) => {
    started.once('exit', (code, signal) => {
      running = false;
      resolve({ code, signal });
    });
  });
  // A forgotten server must not keep us alive: when we end, it ends.
  started.unref();
  return {
    pid,
    exited,
    isRunning: () => running,
    kill: (signal) => {
      if (running) {
        // Somebody may now wait for its end, with nothing else to keep us alive.
        started.ref();
        started.kill(signal);
      }
    },
  };
}
