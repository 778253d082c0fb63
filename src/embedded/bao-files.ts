import { randomBytes } from 'node:crypto';
import { lstat, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretText } from '../foundation/secret-text.ts';

/** What lies in the folder of an embedded OpenBao. */
export type OpenBaoFiles = {
  readonly folder: string;
  readonly configuration: string;
  readonly raft: string;
  readonly sealKey: string;
  readonly adminPassword: string;
  readonly auditLog: string;
  readonly serverLog: string;
  readonly lock: string;
  /** There as soon as a first start went through. */
  readonly complete: string;
};

/** Bytes of the static seal's key: AES-256. */
const SEAL_KEY_BYTES = 32;

export function baoFiles(folder: string): OpenBaoFiles {
  return {
    folder,
    configuration: join(folder, 'openbao.hcl'),
    raft: join(folder, 'raft'),
    sealKey: join(folder, 'seal.key'),
    adminPassword: join(folder, 'administrator-password'),
    auditLog: join(folder, 'audit.log'),
    serverLog: join(folder, 'openbao.log'),
    lock: join(folder, 'lock'),
    complete: join(folder, 'complete'),
  };
}

/**
 * Makes the folder ready for a start. A first start that was killed half-way left an OpenBao that
 * nobody can log in to, and nothing that is worth keeping: it is begun again.
 */
export async function prepareFolder(files: OpenBaoFiles, adminPassword: SecretText): Promise<void> {
  if ((await lstat(files.complete).catch(() => undefined)) !== undefined) {
    return;
  }
  await rm(files.raft, { recursive: true, force: true });
  await mkdir(files.raft, { mode: 0o700 });
  await writePrivate(files.sealKey, randomBytes(SEAL_KEY_BYTES));
  await writePrivate(files.adminPassword, adminPassword.reveal());
}

/** Writes a file that only we can read, anew also where one with other rights lay. */
export async function writePrivate(file: string, content: string | Uint8Array): Promise<void> {
  await rm(file, { force: true });
  await writeFile(file, content, { mode: 0o600, flag: 'wx' });
}
