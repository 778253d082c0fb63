import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { uuidv7 } from '../../foundation/ids.ts';
import type { Lease } from '../lease.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

export async function leasesByName(
  ledger: LedgerDatabase,
  names: readonly string[],
): Promise<readonly Lease[]> {
  return await leasesWhere(ledger, sql`l.credential_name = any(${names}::text[])`);
}

/**
 * No index holds the backend's ids: they are asked for only where something is wrong. A lease's id
 * tells when it was opened, so that only the leases of that time are read.
 */
export async function leasesByBackendId(
  ledger: LedgerDatabase,
  ids: readonly string[],
  { from, until }: { readonly from: Date; readonly until: Date },
): Promise<readonly Lease[]> {
  const first = uuidv7(from.getTime(), new Uint8Array(10));
  const last = uuidv7(until.getTime(), new Uint8Array(10).fill(0xff));
  return await leasesWhere(
    ledger,
    sql`l.id between ${first} and ${last} and l.backend_lease_id = any(${ids}::text[])`,
  );
}

async function leasesWhere(
  ledger: LedgerDatabase,
  condition: RawBuilder<unknown>,
): Promise<readonly Lease[]> {
  const { rows } = await sql<LeaseRow>`
    select ${leaseColumns('l')} from mayfly.lease as l
    where ${condition} order by l.id`.execute(ledger.db);
  return rows.map(leaseFromRow);
}
