import type { Target } from '../catalogue/target.ts';
import { SecretText } from '../foundation/secret-text.ts';
import type { DatabaseCredential } from './broker.ts';

/**
 * Lays out a minted login as agents get it. The URI is `access_token` and its exact bytes are what
 * is hashed (a test vector freezes its form): user name and password hold only characters that
 * need no escape, and nothing optional is left out.
 */
export function databaseCredential(
  target: Target,
  username: string,
  password: SecretText,
): DatabaseCredential {
  const { host, port, sslmode } = target.client;
  const authority = `${encodeURIComponent(username)}:${encodeURIComponent(password.reveal())}`;
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const uri = `postgresql://${authority}@${place}/${encodeURIComponent(target.database)}?sslmode=${sslmode}`;
  return {
    kind: 'database',
    username,
    password,
    host,
    port: Number(port),
    database: target.database,
    sslmode,
    uri: new SecretText(uri),
  };
}
