import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';

/** A user of this machine under which a server is started. */
export type SystemUser = { readonly name: string; readonly uid: number; readonly gid: number };

/** In this order; `nobody` owns nothing else that matters, and every Linux has it. */
const UNPRIVILEGED = ['postgres', 'nobody'];

/**
 * The user under which Postgres must be started, which refuses to run as root: `undefined` means
 * as ourselves. Users are never created.
 *
 * @throws when we are root and the machine has none of the two, or when our own user id has no
 *   name, which Postgres does not accept either ("could not look up effective user ID").
 */
export async function postgresUser(): Promise<SystemUser | undefined> {
  if (process.getuid?.() === 0) {
    return pickUnprivileged(await readFile('/etc/passwd', 'utf8'));
  }
  try {
    userInfo();
  } catch {
    throw new Error(
      'The embedded Postgres needs a user id that has a name in /etc/passwd, and this one has ' +
        'none. Run as a named user, or run `mayfly serve` with a Postgres of your own ' +
        '(MAYFLY_LEDGER_URL).',
    );
  }
  return undefined;
}

/** Picks the unprivileged user out of the text of /etc/passwd. */
export function pickUnprivileged(passwd: string): SystemUser {
  const rows = passwd.split('\n').map((line) => line.split(':'));
  for (const wanted of UNPRIVILEGED) {
    const row = rows.find((fields) => fields[0] === wanted) ?? [];
    const [uid, gid] = [Number(row[2]), Number(row[3])];
    if (uid > 0 && gid > 0) {
      return { name: wanted, uid, gid };
    }
  }
  throw new Error(
    'Postgres refuses to run as root, and this machine has neither a user "postgres" nor ' +
      '"nobody" to run it as. Start Mayfly as an ordinary user.',
  );
}
