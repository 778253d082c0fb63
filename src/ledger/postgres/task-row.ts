import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { Task } from '../lease.ts';

/** A task as the table holds it. */
export type TaskRow = {
  readonly id: string;
  readonly agent_id: string;
  readonly owner: string;
  readonly task_type: string;
  readonly identifier: string;
  readonly purpose: string | null;
  readonly workflow: string | null;
  readonly actions: readonly string[];
  readonly locations: readonly string[];
  readonly datatypes: readonly string[] | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly delegation: Task['delegation'];
  readonly opened_by_instance: string;
  readonly opened_at: Date;
  readonly deadline: Date;
  readonly ended_at: Date | null;
  readonly end_cause: Task['endCause'];
  readonly outcome: Task['outcome'];
  readonly note: string | null;
};

/** Every column by name: see `LEASE_COLUMNS`. */
export const TASK_COLUMNS = [
  'id',
  'agent_id',
  'owner',
  'task_type',
  'identifier',
  'purpose',
  'workflow',
  'actions',
  'locations',
  'datatypes',
  'parameters',
  'delegation',
  'opened_by_instance',
  'opened_at',
  'deadline',
  'ended_at',
  'end_cause',
  'outcome',
  'note',
] as const satisfies readonly (keyof TaskRow)[];

/** A task beside the columns of a lease: each of its own has a prefix. */
export type TaskBeside = {
  readonly [Column in keyof TaskRow as `of_task_${Column}`]: TaskRow[Column];
};

/** `(f.task).id as of_task_id, ...` of a composite value. */
export function taskColumnsOf(composite: string): RawBuilder<unknown> {
  return sql.raw(
    TASK_COLUMNS.map((column) => `(${composite}).${column} as of_task_${column}`).join(', '),
  );
}

export function taskBeside(row: TaskBeside): Task {
  return {
    id: row.of_task_id,
    agentId: row.of_task_agent_id,
    owner: row.of_task_owner,
    taskType: row.of_task_task_type,
    identifier: row.of_task_identifier,
    purpose: row.of_task_purpose,
    workflow: row.of_task_workflow,
    actions: row.of_task_actions,
    locations: row.of_task_locations,
    datatypes: row.of_task_datatypes,
    parameters: row.of_task_parameters,
    delegation: row.of_task_delegation,
    openedByInstance: row.of_task_opened_by_instance,
    openedAt: row.of_task_opened_at,
    deadline: row.of_task_deadline,
    endedAt: row.of_task_ended_at,
    endCause: row.of_task_end_cause,
    outcome: row.of_task_outcome,
    note: row.of_task_note,
  };
}

export function taskFromRow(row: TaskRow): Task {
  const { task_type, agent_id, opened_by_instance, opened_at, ended_at, end_cause, ...same } = row;
  return {
    ...same,
    taskType: task_type,
    agentId: agent_id,
    openedByInstance: opened_by_instance,
    openedAt: opened_at,
    endedAt: ended_at,
    endCause: end_cause,
  };
}
