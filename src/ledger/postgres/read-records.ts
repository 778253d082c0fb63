import { sql } from 'kysely';
import { isUuid } from '../../foundation/ids.ts';
import type { AuditEvent, Lease, Task } from '../lease.ts';
import { LEASE_COLUMNS, leaseFromRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';
import { TASK_COLUMNS, taskFromRow } from './task-row.ts';

export async function readInstallation(ledger: LedgerDatabase): Promise<string> {
  const { rows } = await sql<{ id: string }>`select id from mayfly.installation`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger has no installation id: run mayfly migrate');
  return row.id;
}

export async function readNow(ledger: LedgerDatabase): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select mayfly.ledger_now() as now`.execute(ledger.db);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no time');
  return row.now;
}

export async function readLease(ledger: LedgerDatabase, id: string): Promise<Lease | null> {
  if (!isUuid(id)) return null;
  return await findLease(ledger, 'id', id);
}

export async function findLease(
  ledger: LedgerDatabase,
  column: 'id' | 'credential_name' | 'credential_sha256',
  value: string | Buffer,
): Promise<Lease | null> {
  const row = await ledger.db
    .selectFrom('mayfly.lease')
    .select(LEASE_COLUMNS)
    .where(column, '=', value)
    .executeTakeFirst();
  return row === undefined ? null : leaseFromRow(row);
}

export async function readTask(ledger: LedgerDatabase, id: string): Promise<Task | null> {
  if (!isUuid(id)) return null;
  const row = await ledger.db
    .selectFrom('mayfly.task')
    .select(TASK_COLUMNS)
    .where('id', '=', id)
    .executeTakeFirst();
  return row === undefined ? null : taskFromRow(row);
}

/** In the order in which they were written. */
export async function readEvents(
  ledger: LedgerDatabase,
  of: { readonly leaseId: string } | { readonly taskId: string },
): Promise<readonly AuditEvent[]> {
  const [column, id] = 'leaseId' in of ? ['lease_id', of.leaseId] : ['task_id', of.taskId];
  if (!isUuid(id)) return [];
  const { rows } = await sql<AuditEvent>`
    select id, at, kind, agent_id as "agentId", task_id as "taskId", lease_id as "leaseId", body
    from mayfly.audit_event where ${sql.ref(column)} = ${id} order by at, id`.execute(ledger.db);
  return rows;
}
