import pg from 'pg';
import { schemaState } from '../migrate.ts';
import { connectionConfig } from '../postgres/ledger-address.ts';
import type { LedgerAddress } from '../postgres/ledger-address.ts';
import { translateError } from '../postgres/translate-error.ts';
import { LEDGER_CHECKS } from './ledger-checks.ts';
import type { LedgerCheck } from './ledger-checks.ts';
import type { Finding } from './finding.ts';
import { LEDGER_ROLES, ROLE_KEYS } from './ledger-roles.ts';
import type { LedgerRole } from './ledger-roles.ts';

export type DiagnoseOptions = {
  /** The administrator's login, into the ledger's database. */
  readonly inDatabase: LedgerAddress;
  readonly addresses: Readonly<Record<LedgerRole, LedgerAddress>>;
};

/**
 * Every check, also after one that fails. Rejects only where the administrator cannot connect to
 * the ledger's database at all.
 */
export async function diagnoseLedger(options: DiagnoseOptions): Promise<readonly Finding[]> {
  const client = new pg.Client(connectionConfig(options.inDatabase));
  client.on('error', () => undefined);
  try {
    await client.connect();
    const findings: Finding[] = [];
    for (const check of LEDGER_CHECKS) findings.push(await run(client, check));
    findings.push(await schemaFinding(options.inDatabase));
    for (const role of ROLE_KEYS) findings.push(await loginFinding(role, options.addresses[role]));
    return findings;
  } catch (error) {
    throw translateError(error).error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function run(client: pg.Client, check: LedgerCheck): Promise<Finding> {
  const { check: name, severity, remedy } = check;
  try {
    const { rows } = await client.query<{ problem: string }>(check.problems);
    const problems = rows.map((row) => row.problem);
    if (problems.length === 0)
      return { check: name, ok: true, severity, seen: check.fine, remedy: '' };
    return { check: name, ok: false, severity, seen: problems.join('; '), remedy };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    const seen = `could not be checked (SQLSTATE ${error.code ?? 'unknown'})`;
    return { check: name, ok: false, severity, seen, remedy };
  }
}

async function schemaFinding(address: LedgerAddress): Promise<Finding> {
  const { fit, version, known, detail } = await schemaState(address);
  const ok = fit === 'current' || fit === 'ahead';
  return {
    check: 'ledger_schema',
    ok,
    severity: 'error',
    seen: `step ${version}, this version knows ${known}`,
    remedy: ok ? '' : detail,
  };
}

async function loginFinding(role: LedgerRole, address: LedgerAddress): Promise<Finding> {
  const check = `ledger_login_${role}`;
  const client = new pg.Client(connectionConfig(address));
  client.on('error', () => undefined);
  try {
    await client.connect();
    const seen = `${LEDGER_ROLES[role]} can log in`;
    return { check, ok: true, severity: 'error', seen, remedy: '' };
  } catch (error) {
    const seen = `${LEDGER_ROLES[role]} cannot log in: ${translateError(error).error.message}`;
    return { check, ok: false, severity: 'error', seen, remedy: 'Run: mayfly backend apply' };
  } finally {
    await client.end().catch(() => undefined);
  }
}
