import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

/** RFC 7677 section 4 asks for at least this many; Postgres uses it too. */
const ITERATIONS = 4096;
const DIGEST_BYTES = 32;

/**
 * What Postgres stores for a password (RFC 5803): sent instead of it, so that the password itself
 * never stands in a statement, which the server may log. `salt` is random text; the password must
 * be ASCII, which SASLprep leaves as it is.
 */
export function scramVerifier(password: string, salt: string): string {
  if (!/^[\x20-\x7e]+$/.test(password)) throw new Error('a password of a ledger role is not ASCII');
  const saltBytes = Buffer.from(salt, 'utf8');
  const salted = pbkdf2Sync(password, saltBytes, ITERATIONS, DIGEST_BYTES, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${saltBytes.toString('base64')}$${storedKey}:${serverKey}`;
}
