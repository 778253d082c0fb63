import { sql } from 'kysely';
import type { SelfCheck } from '../stop.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** One statement: of all replicas that ask at once, one gets the turn. The first waits its time. */
export async function takeSelfCheck(
  ledger: LedgerDatabase,
  name: string,
  everySeconds: number,
): Promise<boolean> {
  const { rows } = await sql<{ first: boolean }>`
    insert into mayfly.self_check as s (name, begun_at) values (${name}, mayfly.ledger_now())
    on conflict (name) do update set begun_at = mayfly.ledger_now()
      where s.begun_at <= mayfly.ledger_now() - make_interval(secs => ${everySeconds})
    returning (xmax = 0) as first`.execute(ledger.db);
  return rows[0]?.first === false;
}

export async function recordSelfCheck(
  ledger: LedgerDatabase,
  name: string,
  failure: string | null,
): Promise<void> {
  await sql`
    update mayfly.self_check as s set
      succeeded_at = case when ${failure}::text is null then clock.now else s.succeeded_at end,
      failed_at = case when ${failure}::text is null then s.failed_at else clock.now end,
      failure = coalesce(${failure}, s.failure)
    from (select mayfly.ledger_now() as now) as clock
    where s.name = ${name}`.execute(ledger.db);
}

type SelfCheckRow = {
  readonly now: Date;
  readonly begun_at: Date;
  readonly succeeded_at: Date | null;
  readonly failed_at: Date | null;
  readonly failure: string | null;
};

export async function readSelfCheck(
  ledger: LedgerDatabase,
  name: string,
): Promise<SelfCheck | null> {
  const { rows } = await sql<SelfCheckRow>`
    select mayfly.ledger_now() as now, begun_at, succeeded_at, failed_at, failure
    from mayfly.self_check where name = ${name}`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) return null;
  const { now, begun_at: begunAt, succeeded_at: succeededAt, failed_at: failedAt, failure } = row;
  return { now, begunAt, succeededAt, failedAt, failure };
}
