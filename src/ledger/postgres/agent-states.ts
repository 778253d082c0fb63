import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { AgentRecord, Quarantine, QuarantineAgent } from '../stop.ts';
import type { LedgerDatabase } from './ledger-database.ts';

type QuarantineRow = {
  readonly changed: boolean;
  readonly quarantined_at: Date;
  readonly quarantined_by: string;
  readonly reason: string;
};

/** One call of a function in the schema, which locks the agent's row as every exchange does. */
export async function quarantineAgent(
  ledger: LedgerDatabase,
  { agentId, by, reason }: QuarantineAgent,
): Promise<{ readonly quarantine: Quarantine; readonly changed: boolean }> {
  const { rows } = await sql<QuarantineRow>`
    select q.changed, q.quarantined_at, q.quarantined_by, q.reason
    from mayfly.quarantine_agent(${agentId}, ${by}, ${reason}, ${canonicalJson({ by, reason })})
      as q`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no quarantine');
  const quarantine = { since: row.quarantined_at, by: row.quarantined_by, reason: row.reason };
  return { quarantine, changed: row.changed };
}

/** One statement; the event is written where the agent was quarantined. */
export async function releaseAgent(
  ledger: LedgerDatabase,
  { agentId, by, reason }: QuarantineAgent,
): Promise<boolean> {
  const { rows } = await sql<{ id: string }>`
    with released as (
      update mayfly.agent as a
      set quarantined_at = null, quarantined_by = null, quarantine_reason = null
      where a.id = ${agentId} and a.quarantined_at is not null
      returning a.id, mayfly.ledger_now() as now
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, body)
      select mayfly.event_id(r.now), r.now, 'agent.released', r.id, ${canonicalJson({ by, reason })}
      from released as r
    )
    select id from released`.execute(ledger.db);
  return rows.length > 0;
}

type AgentRow = {
  readonly id: string;
  readonly first_seen_at: Date;
  readonly quarantined_at: Date | null;
  readonly quarantined_by: string | null;
  readonly quarantine_reason: string | null;
  readonly minting: number;
  readonly active: number;
  readonly revoking: number;
};

/** All agents that were ever seen, by id. As many as operators declared. */
export async function readAgents(ledger: LedgerDatabase): Promise<readonly AgentRecord[]> {
  const { rows } = await agentsWhere(sql`true`).execute(ledger.db);
  return rows.map(agentFromRow);
}

export async function readAgent(ledger: LedgerDatabase, id: string): Promise<AgentRecord | null> {
  const { rows } = await agentsWhere(sql`a.id = ${id}`).execute(ledger.db);
  const [row] = rows;
  return row === undefined ? null : agentFromRow(row);
}

/** Found through the index of quarantined agents: asked every second. */
export async function quarantinedNotFenced(
  ledger: LedgerDatabase,
): Promise<readonly AgentRecord[]> {
  const { rows } = await agentsWhere(
    sql`a.quarantined_at is not null and live.minting + live.active > 0`,
  ).execute(ledger.db);
  return rows.map(agentFromRow);
}

/** The live leases of each are counted through the index of just these. */
function agentsWhere(condition: RawBuilder<unknown>): RawBuilder<AgentRow> {
  return sql<AgentRow>`
    select a.id, a.first_seen_at, a.quarantined_at, a.quarantined_by, a.quarantine_reason,
      live.minting, live.active, live.revoking
    from mayfly.agent as a, lateral (
      select count(*) filter (where l.state = 'minting')::integer as minting,
        count(*) filter (where l.state = 'active')::integer as active,
        count(*) filter (where l.state = 'revoking')::integer as revoking
      from mayfly.lease as l
      where l.agent_id = a.id and l.state in ('minting', 'active', 'revoking')
    ) as live
    where ${condition} order by a.id`;
}

function agentFromRow(row: AgentRow): AgentRecord {
  const { quarantined_at: since, quarantined_by: by, quarantine_reason: reason } = row;
  const { minting, active, revoking } = row;
  return {
    id: row.id,
    firstSeenAt: row.first_seen_at,
    quarantine: since === null || by === null || reason === null ? null : { since, by, reason },
    live: { minting, active, revoking },
  };
}
