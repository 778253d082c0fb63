import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../foundation/clock.ts';
import { writePrivate } from './bao-files.ts';
import * as der from './der.ts';

/** Files in PEM. */
export type TlsFiles = {
  readonly certFile: string;
  /** Mode 0600. */
  readonly keyFile: string;
  /** What clients must trust. */
  readonly caFile: string;
};

/** Milliseconds. */
const DAY_MS = 86_400_000;
/** Days; Apple's limit for server certificates that a user added trust for. */
const LIFE_DAYS = 825;
/** RFC 5280 asks for at most 20 bytes. */
const SERIAL_BYTES = 16;

const ECDSA_WITH_SHA256 = der.sequence(der.objectId('1.2.840.10045.4.3.2'));
const COMMON_NAME = '2.5.4.3';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const SERVER_AUTHENTICATION = '1.3.6.1.5.5.7.3.1';
const DNS_NAME = 2;
const IP_ADDRESS = 7;

/**
 * A certificate for 127.0.0.1 and localhost with an authority of its own, for trying TLS out. Made
 * once per folder. The authority's key is thrown away, so it can never vouch for anything else.
 */
export async function loopbackCertificates(path: string, clock: Clock): Promise<TlsFiles> {
  const folder = resolve(path);
  const files = {
    certFile: join(folder, 'server.pem'),
    keyFile: join(folder, 'server-key.pem'),
    caFile: join(folder, 'ca.pem'),
  };
  if ((await lstat(folder).catch(() => undefined)) !== undefined) {
    return files;
  }
  const draft = `${folder}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o755 });
  const made = make(clock.now());
  await writeFile(join(draft, 'ca.pem'), made.authority);
  await writeFile(join(draft, 'server.pem'), made.server);
  await writePrivate(join(draft, 'server-key.pem'), made.key);
  await rename(draft, folder);
  return files;
}

function make(now: Date): { authority: string; server: string; key: string } {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = { name: 'Mayfly demo authority', key: authority.privateKey, now };
  return {
    authority: certificate(issuer, issuer.name, authority.publicKey, AUTHORITY_EXTENSIONS),
    server: certificate(issuer, 'localhost', server.publicKey, SERVER_EXTENSIONS),
    key: server.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

type Issuer = { readonly name: string; readonly key: KeyObject; readonly now: Date };

/** A certificate as RFC 5280 section 4.1 lays it out. */
function certificate(
  issuer: Issuer,
  subject: string,
  publicKey: KeyObject,
  extensions: Buffer,
): string {
  const { now } = issuer;
  const body = der.sequence(
    der.tagged(0, der.integer(Buffer.from([2]))),
    der.integer(serial()),
    ECDSA_WITH_SHA256,
    commonName(issuer.name),
    der.sequence(
      der.utcTime(new Date(now.getTime() - DAY_MS)),
      der.utcTime(new Date(now.getTime() + LIFE_DAYS * DAY_MS)),
    ),
    commonName(subject),
    publicKey.export({ format: 'der', type: 'spki' }),
    der.tagged(3, extensions),
  );
  const signature = sign('sha256', body, { key: issuer.key, dsaEncoding: 'der' });
  return pem(der.sequence(body, ECDSA_WITH_SHA256, der.bits(signature)));
}

/** Its first bit is zero and its first byte is not, as a positive number's. */
function serial(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes;
}

function commonName(name: string): Buffer {
  return der.sequence(der.set(der.sequence(der.objectId(COMMON_NAME), der.utf8(name))));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [der.boolean(true)] : [];
  return der.sequence(der.objectId(id), ...flag, der.octets(value));
}

const AUTHORITY_EXTENSIONS = der.sequence(
  extension(BASIC_CONSTRAINTS, true, der.sequence(der.boolean(true))),
  // keyCertSign, bit 5.
  extension(KEY_USAGE, true, der.bits(Buffer.from([0b0000_0100]), 2)),
);

const SERVER_EXTENSIONS = der.sequence(
  extension(BASIC_CONSTRAINTS, true, der.sequence()),
  // digitalSignature, bit 0.
  extension(KEY_USAGE, true, der.bits(Buffer.from([0b1000_0000]), 7)),
  extension(EXTENDED_KEY_USAGE, false, der.sequence(der.objectId(SERVER_AUTHENTICATION))),
  extension(
    SUBJECT_ALTERNATIVE_NAME,
    false,
    der.sequence(
      der.implicit(DNS_NAME, Buffer.from('localhost', 'ascii')),
      der.implicit(IP_ADDRESS, Buffer.from([127, 0, 0, 1])),
    ),
  ),
);

function pem(content: Buffer): string {
  const lines = content.toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}
