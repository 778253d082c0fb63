import { sql } from 'kysely';
import type { LedgerDatabase } from './ledger-database.ts';

/** Mints under way keep theirs: their own deadline frees them. */
export async function releaseClaims(ledger: LedgerDatabase): Promise<number> {
  const { numAffectedRows } = await sql`
    update mayfly.lease as l set claim_owner = null, claim_until = null
    where l.claim_owner = ${ledger.replica}
      and (l.state in ('active', 'revoking') or l.state = 'revoked'
        or (l.residue is not null and l.state = 'settled'))`.execute(ledger.db);
  return Number(numAffectedRows ?? 0);
}
