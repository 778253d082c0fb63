import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';

/**
 * The common table expression `clock`, read when all rows of `locked` are locked: what a statement
 * writes is later than everything that was written to these rows before, however long it waited.
 */
export function clockAfter(locked: string): RawBuilder<unknown> {
  return sql.raw(`clock as materialized (
      select mayfly.ledger_now() as now, held.n from (select count(*) as n from ${locked}) as held
    )`);
}
