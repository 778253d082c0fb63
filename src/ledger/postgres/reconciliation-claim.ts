import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Json } from '../../foundation/canonical-json.ts';
import type { LastReconciliation } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** Due as well where the last one never came to its end: its replica died, or gave up. */
export async function beginReconciliation(
  ledger: LedgerDatabase,
  pass: string,
  dueAfterSeconds: number | null,
): Promise<'begun' | 'not_due' | 'running'> {
  const { rows } = await sql<{ begun: boolean; running: boolean }>`
    with held as (
      select r.claim_until, r.begun_at, r.ended_at from mayfly.reconciliation as r for update
    ), ${clockAfter('held')}, begun as (
      update mayfly.reconciliation as r set begun_at = clock.now, claim_owner = ${pass},
        claim_until = clock.now + make_interval(secs => ${ledger.claimSeconds})
      from held, clock
      where (held.claim_until is null or held.claim_until <= clock.now)
        and (${dueAfterSeconds}::double precision is null
          or held.begun_at is null or held.ended_at is null or held.ended_at < held.begun_at
          or held.begun_at + make_interval(secs => ${dueAfterSeconds}) <= clock.now)
      returning true
    )
    select exists (select from begun) as begun,
      coalesce((select held.claim_until > clock.now from held, clock), false) as running`.execute(
    ledger.db,
  );
  const [row] = rows;
  if (row?.begun === true) return 'begun';
  return row?.running === true ? 'running' : 'not_due';
}

/** Until somebody takes over a lapsed claim is still ours: one slow call must not end the pass. */
export async function keepReconciliation(ledger: LedgerDatabase, pass: string): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update mayfly.reconciliation
    set claim_until = mayfly.ledger_now() + make_interval(secs => ${ledger.claimSeconds})
    where claim_owner = ${pass}`.execute(ledger.db);
  return Number(numAffectedRows ?? 0) > 0;
}

/** Changes nothing where somebody else has taken over meanwhile. */
export async function endReconciliation(
  ledger: LedgerDatabase,
  pass: string,
  result: Json | null,
): Promise<void> {
  const kept = result === null ? null : canonicalJson(result);
  await sql`
    update mayfly.reconciliation as r set claim_owner = null, claim_until = null,
      ended_at = case when ${kept}::text is null then r.ended_at else mayfly.ledger_now() end,
      result = coalesce(${kept}::jsonb, r.result)
    where r.claim_owner = ${pass}`.execute(ledger.db);
}

export async function lastReconciliation(
  ledger: LedgerDatabase,
): Promise<LastReconciliation | null> {
  const { rows } = await sql<LastReconciliation>`
    select r.ended_at as "endedAt", r.result from mayfly.reconciliation as r
    where r.ended_at is not null`.execute(ledger.db);
  return rows[0] ?? null;
}
