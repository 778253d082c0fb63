import { sql } from 'kysely';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * For each lease the one before it of the same instance and parameters. Looked for when somebody
 * looks, through the index of an agent's leases: an index of its own would cost every exchange.
 * Ids are UUIDv7, so that the span of time is a span of ids; the creation decides.
 */
export async function repeatsOf(
  ledger: LedgerDatabase,
  leaseIds: readonly string[],
  withinSeconds: number,
): Promise<ReadonlyMap<string, string>> {
  if (leaseIds.length === 0) return new Map();
  const { rows } = await sql<{ id: string; earlier: string }>`
    select l.id, before.id as earlier
    from mayfly.lease as l
    cross join lateral (
      select b.id from mayfly.lease as b
      where b.agent_id = l.agent_id and b.id < l.id
        and b.id >= (lpad(to_hex(floor((extract(epoch from l.created_at) - 2 * ${withinSeconds}::int)
          * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
        and b.instance = l.instance and b.request_sha256 = l.request_sha256
        and b.created_at > l.created_at - make_interval(secs => ${withinSeconds})
      order by b.id desc limit 1
    ) as before
    where l.id = any(${leaseIds}::uuid[])`.execute(ledger.db);
  return new Map(rows.map(({ id, earlier }) => [id, earlier]));
}
