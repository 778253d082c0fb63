import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Stop } from '../stop.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** One statement, with its event; nothing where too many live already. */
export async function beginStop(
  ledger: LedgerDatabase,
  stop: Stop,
  limit: number,
): Promise<boolean> {
  const { agentId, instance, taskType, workflow, scope, issuer } = stop.selector;
  const body = canonicalJson({ by: stop.by, reason: stop.reason, selector: stop.selector });
  const { rows } = await sql<{ id: string }>`
    with clock as materialized (select mayfly.ledger_now() as now),
    begun as (
      insert into mayfly.stop (id, made_at, made_by, reason,
        agent_id, instance, task_type, workflow, scope, issuer)
      select ${stop.id}::uuid, clock.now, ${stop.by}, ${stop.reason},
        ${agentId}, ${instance}, ${taskType}, ${workflow}, ${scope}, ${issuer}
      from clock where (select count(*) from mayfly.stop) < ${limit}
      returning id
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, body)
      select mayfly.event_id(clock.now), clock.now, 'revocation.begun', ${agentId}, ${body}
      from begun, clock
    )
    select id from begun`.execute(ledger.db);
  return rows.length > 0;
}

type StopRow = {
  readonly id: string;
  readonly made_by: string;
  readonly reason: string;
  readonly agent_id: string | null;
  readonly instance: string | null;
  readonly task_type: string | null;
  readonly workflow: string | null;
  readonly scope: string | null;
  readonly issuer: string | null;
};

export async function readStops(
  ledger: LedgerDatabase,
  olderThanSeconds: number,
): Promise<readonly Stop[]> {
  const { rows } = await sql<StopRow>`
    select id, made_by, reason, agent_id, instance, task_type, workflow, scope, issuer
    from mayfly.stop
    where made_at <= mayfly.ledger_now() - make_interval(secs => ${olderThanSeconds})
    order by made_at`.execute(ledger.db);
  return rows.map(({ id, reason, made_by: by, agent_id, task_type, ...same }) => ({
    id,
    reason,
    by,
    selector: {
      agentId: agent_id,
      taskType: task_type,
      instance: same.instance,
      workflow: same.workflow,
      scope: same.scope,
      issuer: same.issuer,
    },
  }));
}

export async function endStop(ledger: LedgerDatabase, id: string): Promise<void> {
  await sql`delete from mayfly.stop where id = ${id}`.execute(ledger.db);
}

/**
 * Every exchange locks its agent's row before it reads the stops, and keeps the table's share of
 * that lock until its end. So whoever holds it now may not have seen a stop that was committed just
 * before, and whoever takes it later sees it. Nobody is kept waiting by this look.
 */
export async function exchangesUnderWay(ledger: LedgerDatabase): Promise<readonly string[]> {
  const { rows } = await sql<{ virtualtransaction: string }>`
    select distinct l.virtualtransaction from pg_catalog.pg_locks as l
    where l.locktype = 'relation' and l.relation = 'mayfly.agent'::regclass
      and l.database = (
        select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
      and l.mode = 'RowShareLock' and l.granted and l.pid <> pg_backend_pid()`.execute(ledger.db);
  return rows.map((row) => row.virtualtransaction);
}
