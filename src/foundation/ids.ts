import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';

/** Makes identifiers and random secrets. Nothing outside this file makes randomness. */
export type Ids = {
  /** A UUIDv7 (RFC 9562 section 5.7): sortable by the millisecond of its making. */
  uuid(): string;
  /** A random password of `PASSWORD_LENGTH` characters out of 62, about 190 bits. */
  password(): string;
  /** A number in [0, 1), for jitter. */
  fraction(): number;
};

/** Characters; 62 ** 32 is about 2 ** 190. */
const PASSWORD_LENGTH = 32;
const PASSWORD_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export function systemIds(clock: Clock): Ids {
  return {
    uuid: () => uuidv7(clock.now().getTime(), randomBytes(10)),
    password: randomPassword,
    fraction: () => randomBytes(4).readUInt32BE() / 2 ** 32,
  };
}

/**
 * Lays out a UUIDv7 from Unix milliseconds and 10 random bytes (RFC 9562 section 5.7).
 */
export function uuidv7(unixMs: number, random: Uint8Array): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(unixMs, 0, 6);
  bytes.set(random.subarray(0, 10), 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for the lower-case textual form of a UUID, the only one that we accept on the wire. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

function randomPassword(): string {
  // Bytes of 248 and above are thrown away, so that no character is likelier than another.
  const fair = 256 - (256 % PASSWORD_ALPHABET.length);
  let text = '';
  while (text.length < PASSWORD_LENGTH) {
    for (const byte of randomBytes(PASSWORD_LENGTH)) {
      if (byte < fair && text.length < PASSWORD_LENGTH) {
        text += PASSWORD_ALPHABET[byte % PASSWORD_ALPHABET.length];
      }
    }
  }
  return text;
}
