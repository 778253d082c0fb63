import { types } from 'node:util';
import pg from 'pg';
import { LedgerUnreachable } from '../ledger.ts';

/**
 * A statement that Postgres refused for a reason that no operation expects: a bug, or a schema that
 * is not ours. Says what was refused, never with which values.
 */
export class LedgerFault extends Error {
  override readonly name = 'LedgerFault';
  readonly code: string;

  constructor(code: string, place: string) {
    super(`The ledger refused a statement: SQLSTATE ${code}${place}.`);
    this.code = code;
  }
}

/**
 * SQLSTATE classes and codes that say "not now" or "not here" (PostgreSQL's appendix A): connection
 * (08), login (28), resources (53), limits of the server's state (55P03 lock not available),
 * operator's intervention (57), system (58), no such database (3D), read-only (25006), idle in
 * transaction (25P03), and the conflicts that a repetition resolves (40).
 */
const PASSING_CLASSES = ['08', '28', '3D', '40', '53', '57', '58', 'F0', 'XX'];
const PASSING_CODES = ['25006', '25P03', '55P03'];

/** Codes after which the connection itself is of no use: server going down, or no longer primary. */
const FATAL_CLASSES = ['08', '25P03', '28', '57P', '58', 'XX'];
const READ_ONLY = '25006';

/** What an operator is told of the codes that a wrong set-up or a busy server gives. */
const WORDS: Readonly<Record<string, string>> = {
  '25006': 'this server is read-only, not the primary (SQLSTATE 25006)',
  '28000': 'it refuses this login; see its pg_hba.conf (SQLSTATE 28000)',
  '28P01': 'user or password is wrong (SQLSTATE 28P01)',
  '3D000': 'there is no such database; mayfly backend apply makes it (SQLSTATE 3D000)',
  '53300': 'it has no connection left (SQLSTATE 53300)',
  '55P03': 'a row stayed locked for too long (SQLSTATE 55P03)',
  '57014': 'a statement took too long (SQLSTATE 57014)',
  '57P03': 'it is starting or stopping (SQLSTATE 57P03)',
};

/** Words of pg for a connection that is lost; it gives them no code. */
const LOST_CONNECTION =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded|Query read timeout|Client was closed|Cannot use a pool after calling end|The server does not support SSL)/;

/**
 * Turns what pg rejects with into `LedgerUnreachable` or a `LedgerFault`; both without parameters,
 * query text or values. `drop` is true where the connection must not be used again.
 */
export function translateError(error: unknown): { error: Error; drop: boolean } {
  if (error instanceof LedgerUnreachable || error instanceof LedgerFault) {
    return { error, drop: false };
  }
  if (error instanceof pg.DatabaseError) return translateDatabaseError(error);
  if (!types.isNativeError(error)) return { error: new Error('not an error'), drop: true };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code !== '' && !code.startsWith('ERR_INVALID_ARG')) {
    return { error: new LedgerUnreachable(`The ledger cannot be reached: ${code}.`), drop: true };
  }
  const words = LOST_CONNECTION.exec(error.message);
  if (words) {
    return {
      error: new LedgerUnreachable(`The ledger cannot be reached: ${words[0]}.`),
      drop: true,
    };
  }
  return { error, drop: true };
}

function translateDatabaseError(error: pg.DatabaseError): { error: Error; drop: boolean } {
  const code = error.code ?? 'unknown';
  if (PASSING_CODES.includes(code) || PASSING_CLASSES.some((known) => code.startsWith(known))) {
    const drop = code === READ_ONLY || FATAL_CLASSES.some((known) => code.startsWith(known));
    const words = `The ledger cannot answer: ${WORDS[code] ?? `SQLSTATE ${code}`}.`;
    return { error: new LedgerUnreachable(words), drop };
  }
  const place = [error.schema, error.table, error.constraint].filter((name) => name !== undefined);
  const where = place.length > 0 ? ` (${place.join(', ')})` : '';
  return { error: new LedgerFault(code, where), drop: false };
}
