import { readFile } from 'node:fs/promises';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { SecretText } from '../../foundation/secret-text.ts';
import { grantOf } from '../login-method.ts';
import { openVaultPort } from '../vault-port.ts';
import { problemOf } from './administrator.ts';
import type { BackendAddress, ProvisionProblem } from './administrator.ts';

/** What OpenBao takes for a user name. */
const USER = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/;

/**
 * Logs an administrator in by user name and password (auth method `userpass`).
 *
 * @throws when `caFile` cannot be read or the address is none.
 */
export async function logInWithPassword(
  { address, caFile, namespace }: BackendAddress,
  user: string,
  password: SecretText,
): Promise<Result<SecretText, ProvisionProblem>> {
  const at = 'auth/userpass/login';
  if (!USER.test(user)) return fail({ at, message: 'that is no user name of OpenBao' });
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8');
  const port = openVaultPort({ address, ca, namespace, maxSockets: 1 });
  try {
    const body = { password: password.reveal() };
    const answer = await port.write(`${at}/${user}`, body, { token: null });
    if (!answer.ok) return problemOf(at, answer.failure);
    const granted = grantOf(answer);
    return granted.ok
      ? succeed(granted.value.token)
      : fail({ at, message: granted.failure.message });
  } finally {
    port.close();
  }
}
