import pg from 'pg';
import { connectionConfig } from '../postgres/ledger-address.ts';
import type { LedgerAddress } from '../postgres/ledger-address.ts';
import { translateError } from '../postgres/translate-error.ts';

/**
 * `system_identifier` of the cluster that the ledger lives on: what tells it from a target's.
 * Rejects with `LedgerUnreachable` where Postgres cannot be asked.
 */
export async function clusterOf(address: LedgerAddress): Promise<string> {
  const client = new pg.Client(connectionConfig(address));
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ cluster: string }>(
      'select system_identifier::text as cluster from pg_catalog.pg_control_system()',
    );
    return rows[0]?.cluster ?? '';
  } catch (error) {
    throw translateError(error).error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
