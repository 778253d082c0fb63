import { readFile } from 'node:fs/promises';
import { SecretText } from '../foundation/secret-text.ts';
import { ADMINISTRATOR } from './bao-configuration.ts';
import { baoRequest } from './bao-request.ts';
import type { BaoEndpoint } from './bao-request.ts';

/**
 * Logs the embedded administrator in with the password in `passwordFile`.
 *
 * @returns a token for an hour.
 * @throws with OpenBao's status when it refuses.
 */
export async function administratorToken(
  endpoint: BaoEndpoint,
  passwordFile: string,
): Promise<SecretText> {
  const password = (await readFile(passwordFile, 'utf8')).trim();
  const path = `/v1/auth/userpass/login/${ADMINISTRATOR}`;
  const reply = await baoRequest(endpoint, 'POST', path, JSON.stringify({ password }));
  if (reply.status !== 200) {
    throw new Error(`OpenBao refused the administrator's login: status ${reply.status}.`);
  }
  const { auth } = JSON.parse(reply.body) as { auth: { client_token: string } };
  return new SecretText(auth.client_token);
}
