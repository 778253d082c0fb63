import { unixSeconds } from '../foundation/clock.ts';
import { isUuid } from '../foundation/ids.ts';

/** What a credential's name says: whose it is, which lease, and until when it may live. */
export type CredentialName = {
  readonly installation: string;
  readonly leaseId: string;
  /** Whole seconds. */
  readonly deadline: Date;
};

/** Crockford base32, lower case. Its order is that of the values, so names sort by lease. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const SYMBOL = '[0-9a-hjkmnp-tv-z]';
const INSTALLATION = new RegExp(`^${SYMBOL}{4}$`);
/** 128 bits in 26 symbols of 5 bits: the first symbol holds 3, so it is at most 7. */
const LEASE_SYMBOLS = 26;
const LEASE = `[0-7]${SYMBOL}{${LEASE_SYMBOLS - 1}}`;
const DEADLINE_DIGITS = 8;
const DEADLINE = `[0-9a-f]{${DEADLINE_DIGITS}}`;
/** The last second that 8 hexadecimal digits can say: in the year 2106. */
const LAST_SECOND = 0xffff_ffff;

const NAME = new RegExp(`^m(${SYMBOL}{4})-(${LEASE})-(${DEADLINE})$`);

/** True for 4 characters of lower-case Crockford base32. */
export function isInstallation(text: string): boolean {
  return INSTALLATION.test(text);
}

/**
 * The name that a lease's credential has at its target, 41 characters. Fractions of the deadline's
 * second are cut, never rounded up. The form is frozen: names outlive the program that made them.
 *
 * @throws RangeError when a part is not what it must be: these never come from callers.
 */
export function encodeName({ installation, leaseId, deadline }: CredentialName): string {
  if (!isInstallation(installation)) throw new RangeError('not an installation id');
  if (!isUuid(leaseId)) throw new RangeError('not a lease id');
  const seconds = unixSeconds(deadline);
  if (!(seconds >= 0 && seconds <= LAST_SECOND)) throw new RangeError('not a deadline');
  return `m${installation}-${encodeUuid(leaseId)}-${seconds.toString(16).padStart(DEADLINE_DIGITS, '0')}`;
}

/** Reads a name of any installation; undefined for everything else. */
export function parseName(text: string): CredentialName | undefined {
  const [, installation, lease, deadline] = NAME.exec(text) ?? [];
  if (installation === undefined || lease === undefined || deadline === undefined) return undefined;
  return {
    installation,
    leaseId: decodeUuid(lease),
    deadline: new Date(Number.parseInt(deadline, 16) * 1000),
  };
}

/** The same rule for one installation, as a Postgres regular expression that spans the whole text. */
export function namePattern(installation: string): string {
  if (!isInstallation(installation)) throw new RangeError('not an installation id');
  return `\\Am${installation}-${LEASE}-${DEADLINE}\\Z`;
}

/** The same for names of every installation. */
export function anyNamePattern(): string {
  return `\\Am${SYMBOL}{4}-${LEASE}-${DEADLINE}\\Z`;
}

function encodeUuid(uuid: string): string {
  let rest = BigInt(`0x${uuid.replaceAll('-', '')}`);
  let text = '';
  for (let symbol = 0; symbol < LEASE_SYMBOLS; symbol++) {
    text = ALPHABET.charAt(Number(rest & 31n)) + text;
    rest >>= 5n;
  }
  return text;
}

function decodeUuid(text: string): string {
  let value = 0n;
  for (const symbol of text) value = (value << 5n) | BigInt(ALPHABET.indexOf(symbol));
  const hex = value.toString(16).padStart(32, '0');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}
