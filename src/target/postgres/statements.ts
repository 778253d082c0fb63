import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { schemaOf } from './schema-name.ts';

/**
 * What OpenBao runs at the target for a scope. It fills in `{{name}}` and `{{password}}` as plain
 * text, keeps a copy in every lease, and runs each list in one transaction; so these are calls of
 * functions that can be replaced at the target, and whose signatures never change.
 */

/** `{{password}}` must come as a SCRAM verifier: the config says `password_authentication`. */
export function creationStatements(installation: string, group: string): readonly string[] {
  const schema = quoteIdentifier(schemaOf(installation));
  return [`select ${schema}.make('{{name}}', '{{password}}', ${quoteLiteral(group)})`];
}

/**
 * All that one transaction can do: last line, when no guard has ended the credential before. It is
 * an error, and OpenBao keeps the lease, while the role can still log in.
 */
export function revocationStatements(installation: string): readonly string[] {
  return [`select ${quoteIdentifier(schemaOf(installation))}.revoke('{{name}}')`];
}

/** OpenBao's default would move `VALID UNTIL`, and the name would lie. */
export function renewStatements(): readonly string[] {
  return ['select 1'];
}
