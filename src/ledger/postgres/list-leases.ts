import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { isUuid } from '../../foundation/ids.ts';
import type { Lease } from '../lease.ts';
import { LEASE_STATES, LIVE_STATES } from '../lease-states.ts';
import type { LeaseState } from '../lease-states.ts';
import type { LeaseFilter, Page } from '../ledger.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { LEASE_COLUMNS, leaseFromRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** Newest first. An absent filter shows all states. */
export async function listLeases(
  ledger: LedgerDatabase,
  filter: LeaseFilter,
  limit: number,
  cursor: string | null,
): Promise<Page<Lease>> {
  const { taskId } = filter;
  if (taskId !== undefined && !isUuid(taskId)) return { items: [], cursor: null };
  const rows = await filtered(ledger, filter)
    .$if(taskId !== undefined, (query) =>
      query.where(withinTask(taskId ?? '')).orderBy('task_id', 'desc'),
    )
    .$if(cursor !== null, (query) => query.where('id', '<', decodeCursor(cursor ?? '')))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  const items = rows.slice(0, limit).map(leaseFromRow);
  const last = items.at(-1);
  return { items, cursor: rows.length > limit && last ? encodeCursor(last.id) : null };
}

function filtered(ledger: LedgerDatabase, filter: LeaseFilter) {
  const { states, agentId, scope, owner, expiresBefore, credentialSha256 } = filter;
  let query = ledger.db.selectFrom('mayfly.lease').select(LEASE_COLUMNS);
  if (states) query = query.where(stateIn(states));
  if (agentId !== undefined) query = query.where('agent_id', '=', agentId);
  if (scope !== undefined) query = query.where('scope', '=', scope);
  if (owner !== undefined) query = query.where('owner', '=', owner);
  if (expiresBefore) query = query.where('deadline', '<', expiresBefore);
  if (credentialSha256) query = query.where('credential_sha256', '=', credentialSha256);
  if (filter.late) {
    query = query
      .where(stateIn(LIVE_STATES))
      .where(sql<boolean>`(state = 'revoking' or deadline <= mayfly.ledger_now())`);
  }
  if (filter.unsettled) query = query.where(stateIn(['revoked']));
  if (filter.residue) query = query.where('residue', 'is not', null);
  return query;
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/**
 * As a range of the index on (task_id, id). With `task_id = ...` the planner may walk back over the
 * newest leases of everybody until it has met enough of this task (docs/decisions, 0128).
 */
function withinTask(taskId: string): RawBuilder<boolean> {
  return sql<boolean>`(task_id, id) >= (${taskId}::uuid, ${FIRST_ID}::uuid)
    and (task_id, id) <= (${taskId}::uuid, ${LAST_ID}::uuid)`;
}

/** States are written out, not sent as parameters: so the index of just these states is found. */
function stateIn(states: readonly LeaseState[]): RawBuilder<boolean> {
  const known = LEASE_STATES.filter((state) => states.includes(state));
  if (known.length === 0) return sql<boolean>`false`;
  return sql<boolean>`state in (${sql.join(known.map((state) => sql.lit(state)))})`;
}
