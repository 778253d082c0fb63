import { sql } from 'kysely';
import type { LedgerEpoch } from '../ledger.ts';
import type { LedgerDatabase } from './ledger-database.ts';

export async function readEpoch(ledger: LedgerDatabase): Promise<LedgerEpoch> {
  const { rows } = await sql<Omit<LedgerEpoch, 'epoch'> & { epoch: string }>`
    select i.ledger_id as ledger, i.epoch, i.confirmed_at as "confirmedAt",
      (select c.system_identifier::text from pg_catalog.pg_control_system() as c) as cluster
    from mayfly.installation as i`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger has no installation id: run mayfly migrate');
  // A bigint arrives as text.
  return { ...row, epoch: Number(row.epoch) };
}

export async function raiseEpoch(
  ledger: LedgerDatabase,
  from: number,
  to: number,
  confirmed: boolean,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update mayfly.installation as i set epoch = ${to},
      confirmed_at = case when ${confirmed} then mayfly.ledger_now() else i.confirmed_at end
    where i.epoch = ${from}`.execute(ledger.db);
  return Number(numAffectedRows ?? 0) > 0;
}
