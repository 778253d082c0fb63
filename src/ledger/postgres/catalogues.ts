import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Lease } from '../lease.ts';
import type { Declared } from '../stop.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** One statement. A hash that was never seen gets the next generation. */
export async function noteCatalogue(
  ledger: LedgerDatabase,
  hash: string,
  inUseSeconds: number,
): Promise<{ readonly newest: boolean; readonly now: Date }> {
  const { rows } = await sql<{ newest: boolean; now: Date }>`
    with clock as materialized (select mayfly.ledger_now() as now),
    noted as (
      insert into mayfly.catalogue as c (hash, first_seen_at, in_use_until)
      select ${hash}, clock.now, clock.now + make_interval(secs => ${inUseSeconds}) from clock
      on conflict (hash) do update set in_use_until = excluded.in_use_until
      returning c.generation
    )
    select clock.now, not exists (
        select from mayfly.catalogue as c
        where c.generation > noted.generation and c.in_use_until > clock.now) as newest
    from noted, clock`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger did not note the catalogue');
  return row;
}

const REASONS = {
  agent: 'its agent has ended, or is not in the catalogue any more',
  scope: 'its scope is not in the catalogue any more',
  task_type: 'its task type is not in the catalogue any more',
} as const;

const body = (reason: string) => canonicalJson({ by: 'mayfly', cause: 'catalogue', reason });

/**
 * One statement, in the order of ids as everywhere; due at once for whoever comes. Its one snapshot
 * holds no lease of a catalogue that it does not hold too, since that is noted before it grants.
 */
export async function fenceUndeclared(
  ledger: LedgerDatabase,
  hash: string,
  { agents, scopes, taskTypes }: Declared,
  limit: number,
): Promise<readonly Lease[]> {
  const { rows } = await sql<LeaseRow>`
    with newest as materialized (
      select from mayfly.catalogue as mine where mine.hash = ${hash} and not exists (
        select from mayfly.catalogue as c
        where c.generation > mine.generation and c.in_use_until > mayfly.ledger_now())
    ), live as (
      select l.id, case
          when l.agent_id <> all(${agents}::text[]) then 'agent'
          when l.scope <> all(${scopes}::text[]) then 'scope'
          else 'task_type' end as gone
      from mayfly.lease as l
      where exists (select from newest) and l.state in ('minting', 'active') and (
        l.agent_id <> all(${agents}::text[]) or l.scope <> all(${scopes}::text[])
        or exists (select from mayfly.task as t
          where t.id = l.task_id and t.task_type <> all(${taskTypes}::text[])))
      order by l.id limit ${limit} for update
    ), ${clockAfter('live')}, fenced as (
      update mayfly.lease as l set
        state = 'revoking', fenced_at = clock.now, end_cause = 'catalogue',
        end_reason = case live.gone when 'agent' then ${REASONS.agent}
          when 'scope' then ${REASONS.scope} else ${REASONS.task_type} end,
        next_attempt_at = clock.now, claim_owner = null, claim_until = null
      from live, clock where l.id = live.id
      returning ${leaseColumns('l')}, live.gone
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', f.agent_id, f.task_id, f.id,
        case f.gone when 'agent' then ${body(REASONS.agent)}
          when 'scope' then ${body(REASONS.scope)} else ${body(REASONS.task_type)} end
      from fenced as f, clock
    )
    select ${leaseColumns('fenced')} from fenced order by id`.execute(ledger.db);
  return rows.map(leaseFromRow);
}
