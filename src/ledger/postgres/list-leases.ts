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
  if (filter.taskId !== undefined && !isUuid(filter.taskId)) return { items: [], cursor: null };
  const rows = await filtered(ledger, filter)
    .$if(cursor !== null, (query) => query.where('id', '<', decodeCursor(cursor ?? '')))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  const items = rows.slice(0, limit).map(leaseFromRow);
  const last = items.at(-1);
  return { items, cursor: rows.length > limit && last ? encodeCursor(last.id) : null };
}

function filtered(ledger: LedgerDatabase, filter: LeaseFilter) {
  const { states, agentId, scope, taskId, owner, expiresBefore, credentialSha256 } = filter;
  let query = ledger.db.selectFrom('mayfly.lease').select(LEASE_COLUMNS);
  if (states) query = query.where(stateIn(states));
  if (agentId !== undefined) query = query.where('agent_id', '=', agentId);
  if (scope !== undefined) query = query.where('scope', '=', scope);
  if (taskId !== undefined) query = query.where('task_id', '=', taskId);
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

/** States are written out, not sent as parameters: so the index of just these states is found. */
function stateIn(states: readonly LeaseState[]): RawBuilder<boolean> {
  const known = LEASE_STATES.filter((state) => states.includes(state));
  if (known.length === 0) return sql<boolean>`false`;
  return sql<boolean>`state in (${sql.join(known.map((state) => sql.lit(state)))})`;
}
