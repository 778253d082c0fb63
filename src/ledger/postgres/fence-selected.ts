import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { EndCause, Lease } from '../lease.ts';
import type { FenceSelected, SelectedLeases, Selector } from '../stop.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * One statement. Rows are locked in the order of their ids and looked at again under the lock, so
 * that a lease that was activated meanwhile is fenced all the same.
 */
export async function fenceSelected(
  ledger: LedgerDatabase,
  fence: FenceSelected,
  limit: number,
): Promise<readonly Lease[]> {
  const { cause, reason, by } = fence;
  const owner = fence.claim ? ledger.replica : null;
  const { rows } = await sql<LeaseRow>`
    with live as (
      select l.id from mayfly.lease as l
      where l.state in ('minting', 'active') and ${selected(fence.selector)} and ${inForce(cause)}
      order by l.id limit ${limit} for update
    ), ${clockAfter('live')}, fenced as (
      update mayfly.lease as l set
        state = 'revoking', fenced_at = clock.now, end_cause = ${cause}, end_reason = ${reason},
        next_attempt_at = clock.now, claim_owner = ${owner},
        claim_until = case when ${owner}::text is not null
          then clock.now + make_interval(secs => ${ledger.claimSeconds}) end
      from live, clock where l.id = live.id
      returning ${leaseColumns('l')}
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', f.agent_id, f.task_id, f.id,
        ${canonicalJson({ by, cause, reason })}
      from fenced as f, clock
    )
    select ${leaseColumns('fenced')} from fenced order by id`.execute(ledger.db);
  return rows.map(leaseFromRow);
}

/** Fenced and not dead, whoever claims them; the oldest `limit` by their ids. */
export async function dyingSelected(
  ledger: LedgerDatabase,
  selector: Selector,
  limit: number,
): Promise<readonly Lease[]> {
  const { rows } = await sql<LeaseRow>`
    select ${leaseColumns('l')} from mayfly.lease as l
    where l.state = 'revoking' and ${selected(selector)}
    order by l.id limit ${limit}`.execute(ledger.db);
  return rows.map(leaseFromRow);
}

export async function countSelected(
  ledger: LedgerDatabase,
  selector: Selector,
  cause: EndCause,
): Promise<SelectedLeases> {
  const { rows } = await sql<SelectedLeases>`
    select count(*) filter (
        where l.state in ('minting', 'active') and ${inForce(cause)})::integer as open,
      count(*) filter (where l.state = 'revoking')::integer as dying
    from mayfly.lease as l
    where l.state in ('minting', 'active', 'revoking') and ${selected(selector)}`.execute(
    ledger.db,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no counts');
  return row;
}

/** Who was released meanwhile keeps what came after. */
function inForce(cause: EndCause): RawBuilder<unknown> {
  return cause === 'quarantine'
    ? sql`exists (
        select from mayfly.agent as a where a.id = l.agent_id and a.quarantined_at is not null)`
    : sql`true`;
}

/** Of a lease `l`: only members that are given appear, so that an index of theirs can be used. */
function selected(selector: Selector): RawBuilder<unknown> {
  const { agentId, instance, scope, issuer, taskType, workflow } = selector;
  const conditions = [
    ...equal('l.agent_id', agentId),
    ...equal('l.instance', instance),
    ...equal('l.scope', scope),
    ...equal('l.issuer', issuer),
    ...ofTask([...equal('t.task_type', taskType), ...equal('t.workflow', workflow)]),
  ];
  return conditions.length === 0 ? sql`false` : sql.join(conditions, sql` and `);
}

function equal(column: string, value: string | null): RawBuilder<unknown>[] {
  return value === null ? [] : [sql`${sql.raw(column)} = ${value}`];
}

function ofTask(conditions: RawBuilder<unknown>[]): RawBuilder<unknown>[] {
  if (conditions.length === 0) return [];
  const all = sql.join(conditions, sql` and `);
  return [sql`exists (select from mayfly.task as t where t.id = l.task_id and ${all})`];
}
