import { readFile } from 'node:fs/promises';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { LookupSelfReply, TokenReply } from './replies.ts';
import type { VaultHttpError } from './vault-http-error.ts';
import type { VaultPort, VaultResult } from './vault-port.ts';

/**
 * How one of Mayfly's two identities logs in to OpenBao. Files are read again at each login, so
 * that rotated secrets and projected tokens are taken up. `mount` is the auth method's mount.
 */
export type LoginMethod =
  | {
      readonly kind: 'approle';
      readonly mount?: string;
      readonly roleIdFile: string;
      readonly secretIdFile: string;
    }
  | {
      readonly kind: 'jwt';
      readonly mount?: string;
      readonly role: string;
      readonly jwtFile: string;
    }
  | { readonly kind: 'token_file'; readonly file: string };

/** A token of ours and what OpenBao says of its life. */
export type LoggedIn = {
  readonly token: SecretText;
  /** Infinity for a token that never ends. */
  readonly ttlSeconds: number;
  readonly renewable: boolean;
  /** True when we logged in for it, so that it is ours to give back. */
  readonly own: boolean;
};

/** Why a login failed; `message` names the file or the status, never a secret. */
export type LoginProblem = { readonly message: string; readonly cause?: VaultHttpError };

/** Characters; a JWT of 16 KiB is refused by most servers, OpenBao's own tokens are below 1 KiB. */
const SECRET_FILE_MAX = 16_384;

/** Logs in once. */
export async function logIn(
  port: VaultPort,
  method: LoginMethod,
): Promise<Result<LoggedIn, LoginProblem>> {
  switch (method.kind) {
    case 'approle': {
      const roleId = await secretFrom(method.roleIdFile);
      if (!roleId.ok) return roleId;
      const secretId = await secretFrom(method.secretIdFile);
      if (!secretId.ok) return secretId;
      return loginAt(port, method.mount ?? 'approle', {
        role_id: roleId.value.reveal(),
        secret_id: secretId.value.reveal(),
      });
    }
    case 'jwt': {
      const jwt = await secretFrom(method.jwtFile);
      if (!jwt.ok) return jwt;
      return loginAt(port, method.mount ?? 'jwt', { role: method.role, jwt: jwt.value.reveal() });
    }
    case 'token_file': {
      const token = await secretFrom(method.file);
      return token.ok ? lookedUp(port, token.value) : token;
    }
  }
}

async function loginAt(
  port: VaultPort,
  mount: string,
  body: object,
): Promise<Result<LoggedIn, LoginProblem>> {
  return grantOf(await port.write(`auth/${mount}/login`, body, { token: null }));
}

/** Reads the token in an answer to a login or a renewal. */
export function grantOf(result: VaultResult): Result<LoggedIn, LoginProblem> {
  if (!result.ok) return fail({ message: result.failure.message, cause: result.failure });
  const reply = TokenReply.safeParse(result.value);
  if (!reply.success) return fail({ message: 'the answer to the login is not understood' });
  const { client_token, lease_duration, renewable } = reply.data.auth;
  return succeed({
    token: new SecretText(client_token),
    ttlSeconds: lease_duration === 0 ? Number.POSITIVE_INFINITY : lease_duration,
    renewable,
    own: true,
  });
}

async function lookedUp(
  port: VaultPort,
  token: SecretText,
): Promise<Result<LoggedIn, LoginProblem>> {
  const result = await port.read('auth/token/lookup-self', { token });
  if (!result.ok) return fail({ message: result.failure.message, cause: result.failure });
  const reply = LookupSelfReply.safeParse(result.value);
  if (!reply.success) return fail({ message: 'the answer to lookup-self is not understood' });
  const { ttl, expire_time, renewable } = reply.data.data;
  const endless = ttl === 0 && (expire_time ?? null) === null;
  return succeed({
    token,
    ttlSeconds: endless ? Number.POSITIVE_INFINITY : ttl,
    renewable,
    own: false,
  });
}

async function secretFrom(file: string): Promise<Result<SecretText, LoginProblem>> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return fail({ message: `cannot read the login file ${file} (${code ?? 'unreadable'})` });
  }
  if (text === '') return fail({ message: `the login file ${file} is empty` });
  // A line break inside would end up in a header.
  if (text.length > SECRET_FILE_MAX || /[^\x21-\x7e]/.test(text)) {
    return fail({ message: `the login file ${file} must hold one secret of visible ASCII` });
  }
  return succeed(new SecretText(text));
}
