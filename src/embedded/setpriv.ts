import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';

let setprivPath: Promise<string | undefined> | undefined;

/** The setpriv(1) that can tie a process to its parent's life; `undefined` where there is none. */
export function findSetpriv(): Promise<string | undefined> {
  setprivPath ??= lookForSetpriv();
  return setprivPath;
}

async function lookForSetpriv(): Promise<string | undefined> {
  for (const path of ['/usr/bin/setpriv', '/bin/setpriv']) {
    try {
      await access(path, constants.X_OK);
    } catch {
      continue;
    }
    // Busybox has a setpriv too, which does not know the option.
    if (await succeeds(path, ['--pdeathsig=KILL', '--', '/bin/true'])) {
      return path;
    }
  }
  return undefined;
}

function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(command, args, { env: {} }, (error) => resolve(error === null));
  });
}
