import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { isUuid } from '../../foundation/ids.ts';
import type { EndCause } from '../lease.ts';
import type { EndedTask, EndTask } from '../ledger.ts';
import { leaseColumnsOf, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';
import { taskBeside, taskColumnsOf } from './task-row.ts';
import type { TaskBeside } from './task-row.ts';

/** Without a lease all its columns are null. */
type EndedRow = TaskBeside &
  Omit<LeaseRow, 'id'> & { readonly id: string | null; ended_now: boolean; lease_count: number };

const TASK = taskColumnsOf('e.task');
const LEASE = leaseColumnsOf('e.lease');

/**
 * One call of a function in the schema: it locks the task for update, and only then looks for its
 * leases, so that an exchange that was about to commit is either seen or sees the end.
 */
export async function endTask(ledger: LedgerDatabase, end: EndTask): Promise<EndedTask | null> {
  if (!isUuid(end.taskId)) return null;
  const leaseCause = causeOfLeases(end);
  const { rows } = await sql<EndedRow>`
    select e.ended_now, e.lease_count, ${TASK}, ${LEASE}
    from mayfly.end_task(${end.taskId}, ${end.agentId ?? null}, ${end.cause}, ${end.outcome},
      ${end.note}, ${leaseCause}, ${ledger.replica}, ${ledger.claimSeconds},
      ${canonicalJson({ by: end.by, cause: end.cause, note: end.note, outcome: end.outcome })},
      ${canonicalJson({ by: end.by, cause: 'timeout' })},
      ${canonicalJson({ by: end.by, cause: leaseCause, reason: end.note })}) as e`.execute(
    ledger.db,
  );
  const [first] = rows;
  if (first === undefined) return null;
  return {
    task: taskBeside(first),
    endedNow: first.ended_now,
    leaseCount: first.lease_count,
    leases: rows.flatMap(({ id, ...row }) => (id === null ? [] : [leaseFromRow({ ...row, id })])),
  };
}

function causeOfLeases(end: EndTask): EndCause {
  if (end.cause === 'completed') return 'completed';
  return end.by.startsWith('agent:') ? 'revoked_by_holder' : 'operator';
}
