import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { SecretText } from '../../foundation/secret-text.ts';

/** Postgres's own default (`scram_iterations`). */
const ITERATIONS = 4096;
const KEY_BYTES = 32;
const SALT_BYTES = 16;
const VERIFIER =
  /^SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/;

const derive = promisify(pbkdf2);

/**
 * What Postgres stores instead of a password (RFC 5803). Sent in place of the password, it keeps
 * the clear text out of the server's log. `saltSource` is any random text.
 */
export async function scramVerifier(password: SecretText, saltSource: string): Promise<string> {
  const salt = createHash('sha256').update(saltSource).digest().subarray(0, SALT_BYTES);
  return verifierOf(password, salt, ITERATIONS);
}

/** True when `verifier` was made from this password; false for anything that is no verifier. */
export async function isVerifierOf(verifier: string, password: SecretText): Promise<boolean> {
  const [, iterations, salt] = VERIFIER.exec(verifier) ?? [];
  if (iterations === undefined || salt === undefined) return false;
  const again = await verifierOf(password, Buffer.from(salt, 'base64'), Number(iterations));
  const [a, b] = [Buffer.from(again), Buffer.from(verifier)];
  return a.length === b.length && timingSafeEqual(a, b);
}

async function verifierOf(password: SecretText, salt: Buffer, iterations: number): Promise<string> {
  const salted = await derive(password.reveal(), salt, iterations, KEY_BYTES, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
