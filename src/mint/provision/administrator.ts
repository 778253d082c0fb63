import { readFile } from 'node:fs/promises';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { SecretText } from '../../foundation/secret-text.ts';
import type { CallBounds } from '../call-bounds.ts';
import type { VaultHttpError } from '../vault-http-error.ts';
import { openVaultPort } from '../vault-port.ts';
import type { VaultPort, VaultResult } from '../vault-port.ts';

export type BackendAddress = {
  readonly address: string;
  readonly caFile?: string | undefined;
  readonly namespace?: string | undefined;
};

/** What stopped a step of provisioning. Written for an administrator: OpenBao's words are in it. */
export type ProvisionProblem = { readonly at: string; readonly message: string };

/** OpenBao with an administrator's token, for `mayfly backend` and `mayfly doctor` alone. */
export type Administrator = {
  readonly port: VaultPort;
  read(path: string, bounds?: CallBounds): Promise<VaultResult>;
  write(path: string, body: object): Promise<VaultResult>;
  list(path: string): Promise<VaultResult>;
  close(): void;
};

/** An administrator does one thing after the other. */
const SOCKETS = 4;

/** @throws when `caFile` cannot be read or `address` is no http(s) address. */
export async function openAdministrator(
  at: BackendAddress,
  token: SecretText,
): Promise<Administrator> {
  const ca = at.caFile === undefined ? undefined : await readFile(at.caFile, 'utf8');
  const { address, namespace } = at;
  const port = openVaultPort({ address, ca, namespace, maxSockets: SOCKETS });
  return {
    port,
    read: (path, bounds) => port.read(path, bounds === undefined ? { token } : { token, bounds }),
    write: (path, body) => port.write(path, body, { token }),
    list: (path) => port.list(path, { token }),
    close: () => port.close(),
  };
}

/** The members of `data` in an answer; null where there is nothing at that path. */
export function recordIn(
  at: string,
  result: VaultResult,
): Result<Readonly<Record<string, unknown>> | null, ProvisionProblem> {
  if (!result.ok) {
    return result.failure.status === 404 ? succeed(null) : problemOf(at, result.failure);
  }
  const body: unknown = result.value;
  if (isRecord(body) && isRecord(body['data'])) return succeed(body['data']);
  return fail({ at, message: 'the answer is not understood' });
}

export function problemOf(
  at: string,
  error: VaultHttpError,
): { ok: false; failure: ProvisionProblem } {
  const said = error.errors?.join('; ') ?? '';
  return fail({ at, message: said === '' ? error.message : `${error.message}: ${said.trim()}` });
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
