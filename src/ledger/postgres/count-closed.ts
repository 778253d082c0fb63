import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { ClosedCounts } from '../ledger.ts';
import { TO_END, TO_SETTLE } from './due-work.ts';
import type { LedgerDatabase } from './ledger-database.ts';

type Row = {
  readonly leases: number;
  readonly abandoned: number;
  readonly settled: number;
  readonly last: string | null;
};

const NIL = '00000000-0000-0000-0000-000000000000';

/**
 * Of the next `limit` leases by id. All of them are counted along the index of the ids alone; settled
 * ones are what remains of them, which no index on `state` has to be kept for.
 */
export async function countClosed(
  ledger: LedgerDatabase,
  limit: number,
  cursor: string | null,
): Promise<ClosedCounts> {
  const after = cursor === null ? NIL : decodeCursor(cursor);
  const inPage = (states: RawBuilder<boolean>) => sql`
    (select count(*)::integer from mayfly.lease as l
      where ${states} and l.id > ${after}::uuid and l.id <= edge.last)`;
  const { rows } = await sql<Row>`
    with page as materialized (
      select l.id from mayfly.lease as l where l.id > ${after}::uuid order by l.id limit ${limit}
    ), edge as materialized (
      select (select count(*)::integer from page) as leases,
        (select p.id from page as p order by p.id desc limit 1) as last
    ), counted as (
      select edge.leases, edge.last, ${inPage(sql`l.state = 'abandoned'`)} as abandoned,
        ${inPage(TO_END)} + ${inPage(TO_SETTLE)} as open
      from edge
    )
    select leases, last, abandoned, leases - abandoned - open as settled from counted`.execute(
    ledger.db,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no counts');
  const { leases, last, settled, abandoned } = row;
  const more = leases === limit && last !== null;
  return { byState: { settled, abandoned }, cursor: more ? encodeCursor(last) : null };
}
