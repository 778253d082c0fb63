import { accessSync, constants, statSync } from 'node:fs';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';

type Parse<Value> = (text: string) => Result<Value, string>;

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/;

/** True for hosts that cannot be reached from another machine. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/** One of the listed words. */
export function oneOf<Word extends string>(...words: readonly Word[]): Parse<Word> {
  return (text) => {
    const word = words.find((one) => one === text);
    return word === undefined ? fail(`must be one of ${words.join(', ')}`) : succeed(word);
  };
}

/** Two words that stand for true and false. */
export function either(yes: string, no: string): Parse<boolean> {
  return (text) =>
    text === yes || text === no ? succeed(text === yes) : fail(`must be ${yes} or ${no}`);
}

export function wholeNumber(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    const fits = value >= min && value <= max;
    return fits ? succeed(value) : fail(`must be a whole number from ${min} to ${max}`);
  };
}

/** Visible ASCII characters. */
export function words(maxLength: number): Parse<string> {
  return (text) =>
    text.length <= maxLength && /^[\x21-\x7e]+$/.test(text)
      ? succeed(text)
      : fail(`must be 1 to ${maxLength} visible ASCII characters`);
}

/** A file that can be read now. */
export const readableFile: Parse<string> = (text) => {
  try {
    accessSync(text, constants.R_OK);
    return statSync(text).isFile() ? succeed(text) : fail('names something that is not a file');
  } catch {
    return fail('names a file that cannot be read');
  }
};

/** A folder that is there. */
export const folder: Parse<string> = (text) => {
  const found = statSync(text, { throwIfNoEntry: false });
  return found?.isDirectory() ? succeed(text) : fail('names a folder that is not there');
};

/**
 * An https address without login, query or fragment, or plain http on loopback. It must be written
 * in its one normal form, since others compare it character by character; a slash at the end goes.
 */
export const webAddress: Parse<string> = (text) => {
  if (!URL.canParse(text)) return fail('is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    return fail('must be https (plain http only on loopback)');
  }
  const bare = text.replace(/\/$/, '');
  const normal = `${url.origin}${url.pathname}`.replace(/\/$/, '');
  return bare === normal ? succeed(bare) : fail('is not in normal form: scheme, host, port, path');
};

/** Modes in which a connection to Postgres checks who answers. */
const VERIFYING_MODES = ['require', 'verify-ca', 'verify-full'];

/** Options of a ledger's address that mean something here. */
const LEDGER_OPTIONS = ['sslmode', 'host', 'target_session_attrs'];

/**
 * `postgresql://user:password@host:port/database`, where several hosts with commas between them are
 * the nodes of one cluster. Whether the connection is safe depends on the CA file too: see
 * `leavesLedgerOpen`.
 */
export const postgresAddress: Parse<SecretText> = (text) => {
  for (const single of singleHosts(text)) {
    const url = URL.canParse(single) ? new URL(single) : undefined;
    if (!url || !['postgresql:', 'postgres:'].includes(url.protocol)) {
      return fail('is not a URL that begins with postgresql://');
    }
    if (url.username === '' || url.pathname.length < 2) return fail('names no user or no database');
    const wanted = url.searchParams.get('target_session_attrs') ?? 'primary';
    if (wanted !== 'primary' && wanted !== 'read-write') {
      return fail('may say target_session_attrs=read-write only: the ledger is always the primary');
    }
    if ([...url.searchParams.keys()].some((option) => !LEDGER_OPTIONS.includes(option))) {
      return fail(`may have no options but ${LEDGER_OPTIONS.join(', ')}`);
    }
    const mode = url.searchParams.get('sslmode') ?? 'disable';
    if (mode !== 'disable' && !VERIFYING_MODES.includes(mode)) {
      return fail('may say sslmode=disable or sslmode=verify-full: others check nobody');
    }
  }
  return succeed(new SecretText(text));
};

/** libpq's list of hosts, which is no URL as others define it, as one address for each host. */
function singleHosts(text: string): readonly string[] {
  const [, before, hosts, behind] = /^([^/?#]*\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/s.exec(text) ?? [];
  if (hosts === undefined) return [text];
  return hosts.split(',').map((host) => `${before ?? ''}${host}${behind ?? ''}`);
}

/**
 * True where password and data would cross a network unencrypted without anybody having said so:
 * another machine, no authority to check it with, and no word about `sslmode`.
 */
export function leavesLedgerOpen(address: SecretText, caFile: string | undefined): boolean {
  return singleHosts(address.reveal()).some((single) => leavesHostOpen(new URL(single), caFile));
}

function leavesHostOpen(url: URL, caFile: string | undefined): boolean {
  const host = url.searchParams.get('host') ?? url.hostname;
  const mode = url.searchParams.get('sslmode');
  if (isLoopback(host) || host.startsWith('/') || host === '') return false;
  return caFile === undefined && mode !== 'disable' && !VERIFYING_MODES.includes(mode ?? '');
}

/** A secret of any form. */
export const secretText: Parse<SecretText> = (text) => succeed(new SecretText(text));
