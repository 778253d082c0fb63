import pg from 'pg';
import { LedgerUnreachable } from '../ledger.ts';
import { connectionConfigs } from './ledger-address.ts';
import type { LedgerAddress } from './ledger-address.ts';

/**
 * One connection outside of any pool, to the first host of the address that is a primary. Rejects
 * with what the last of them said where none is.
 */
export async function connectToPrimary(
  address: LedgerAddress,
  settings: pg.ClientConfig,
): Promise<pg.Client> {
  let problem: unknown;
  for (const config of connectionConfigs(address)) {
    const client = new pg.Client({ ...config, ...settings });
    client.on('error', () => undefined);
    try {
      await client.connect();
      if (await isPrimary(client)) return client;
      problem = new LedgerUnreachable('The ledger is read-only: this server is not the primary.');
    } catch (error) {
      problem = error;
    }
    await client.end().catch(() => undefined);
  }
  throw problem;
}

async function isPrimary(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ setting: string }>(
    "select current_setting('transaction_read_only') as setting",
  );
  return rows[0]?.setting === 'off';
}
