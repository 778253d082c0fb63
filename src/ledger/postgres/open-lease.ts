import { sql } from 'kysely';
import type { QueryExecutorProvider } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { Lease, Task } from '../lease.ts';
import type { Admission, Admit, ExchangeFacts, NewTask } from '../ledger.ts';
import { lockAndReadFacts } from './exchange-facts.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * Milliseconds that a lease must still have at its commit: with less, waiting for the agent's lock
 * has used up its life, and the credential would be dead on arrival at the target.
 */
const LIFE_LEFT_MIN_MS = 2_000;
/** Seconds whose counts of opened leases are kept: the minute that counts, and what clocks may differ. */
const OPENINGS_KEPT_SECONDS = 120;

type Agent = { readonly id: string; readonly owner: string };
type Opened = { readonly lease: Lease; readonly task: Task };

/** Carries a refusal out of the transaction, which is rolled back. */
class Refusal extends Error {
  readonly failure: Failure;

  constructor(refused: Failure) {
    super(refused.reason);
    this.failure = refused;
  }
}

/**
 * Locks: the agent's row for update, then its open task for share; both until the commit. So caps
 * are exact, and a completion either is seen here or sees the lease.
 */
export async function openLease(
  ledger: LedgerDatabase,
  agent: Agent,
  identifier: string,
  admit: Admit,
): Promise<Result<Opened, Failure>> {
  try {
    const opened = await ledger.db.transaction().execute(async (transaction) => {
      const facts = await lockAndReadFacts(transaction, agent.id, identifier);
      const admitted = admit(facts);
      if (!admitted.ok) throw new Refusal(admitted.failure);
      refuseOther(identifier, admitted.value);
      return await write(transaction, ledger, agent, facts, admitted.value);
    });
    return succeed(opened);
  } catch (error) {
    if (error instanceof Refusal) return fail(error.failure);
    throw error;
  }
}

async function write(
  on: QueryExecutorProvider,
  ledger: LedgerDatabase,
  agent: Agent,
  facts: ExchangeFacts,
  admission: Admission,
): Promise<Opened> {
  refuseTooLate(admission.lease.deadline, facts.now);
  const { openTask } = admission;
  if (openTask === null) {
    const task = joinable(facts);
    return { lease: await insertLease(on, ledger, agent, task.id, admission), task };
  }
  if (facts.task?.endedAt === null) await endTimedOut(on, facts.task.id);
  const task = await insertTask(on, agent, openTask, admission.lease.instance);
  return { lease: await insertLease(on, ledger, agent, task.id, admission), task };
}

/** The facts were read, and locked, for one identifier: a task of another was not looked at. */
function refuseOther(identifier: string, { openTask }: Admission): void {
  if (openTask === null || openTask.identifier === identifier) return;
  throw new TypeError('the admitted task has another identifier than the one asked about');
}

function refuseTooLate(deadline: Date, now: Date): void {
  if (deadline.getTime() - now.getTime() >= LIFE_LEFT_MIN_MS) return;
  throw new Refusal(
    failure(
      'ledger_unreachable',
      'The ledger answered too late for the life asked for. Try again.',
      {
        retryAfterSeconds: 1,
      },
    ),
  );
}

/** The task that the lease joins: open, by the ledger's clock. */
function joinable(facts: ExchangeFacts): Task {
  const { task, now } = facts;
  if (task !== null && task.endedAt === null && task.deadline > now) return task;
  throw new Refusal(failure('task_ended', 'The task has ended. Declare another identifier.'));
}

/** A task past its deadline that no sweep has marked yet still holds its identifier. */
async function endTimedOut(on: QueryExecutorProvider, taskId: string): Promise<void> {
  await sql`
    with ended as (
      update mayfly.task as t set ended_at = t.deadline, end_cause = 'timeout'
      where t.id = ${taskId} and t.ended_at is null and t.deadline <= mayfly.ledger_now()
      returning t.id, t.agent_id
    ), clock as materialized (select mayfly.ledger_now() as now)
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, body)
    select mayfly.event_id(clock.now), clock.now, 'task.ended', e.agent_id, e.id,
      ${canonicalJson({ by: 'mayfly', cause: 'timeout' })}
    from ended as e, clock`.execute(on);
}

async function insertTask(
  on: QueryExecutorProvider,
  agent: Agent,
  task: NewTask,
  instance: string,
): Promise<Task> {
  const { rows } = await sql<{ opened_at: Date }>`
    with clock as materialized (select mayfly.ledger_now() as now),
    opened as (
      insert into mayfly.task (id, agent_id, owner, task_type, identifier, purpose, workflow,
        actions, locations, datatypes, parameters, delegation, opened_by_instance, opened_at,
        deadline)
      select ${task.id}::uuid, ${agent.id}, ${agent.owner}, ${task.taskType}, ${task.identifier},
        ${task.purpose}, ${task.workflow}, ${task.actions}::text[], ${task.locations}::text[],
        ${task.datatypes}::text[], ${JSON.stringify(task.parameters)}::jsonb,
        ${task.delegation && JSON.stringify(task.delegation)}::jsonb, ${instance}, clock.now,
        ${task.deadline}
      from clock
      returning opened_at
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, body)
      select mayfly.event_id(clock.now), clock.now, 'task.opened', ${agent.id}, ${task.id},
        ${openedBody(task, agent, instance)}
      from clock
    )
    select opened_at from opened`.execute(on);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no task');
  return {
    ...task,
    agentId: agent.id,
    owner: agent.owner,
    openedByInstance: instance,
    openedAt: row.opened_at,
    endedAt: null,
    endCause: null,
    outcome: null,
    note: null,
  };
}

function openedBody(task: NewTask, agent: Agent, instance: string): string {
  return canonicalJson({
    actions: task.actions,
    datatypes: task.datatypes,
    deadline: task.deadline.toISOString(),
    delegation: task.delegation,
    identifier: task.identifier,
    instance,
    locations: task.locations,
    owner: agent.owner,
    parameters: task.parameters,
    purpose: task.purpose,
    task_type: task.taskType,
    workflow: task.workflow,
  });
}

async function insertLease(
  on: QueryExecutorProvider,
  ledger: LedgerDatabase,
  agent: Agent,
  taskId: string,
  admission: Admission,
): Promise<Lease> {
  const { lease } = admission;
  const event = admission.event(taskId);
  const { rows } = await sql<LeaseRow>`
    with clock as materialized (select mayfly.ledger_now() as now),
    opened as (
      insert into mayfly.lease as l (id, task_id, agent_id, owner, instance, issuer, subject, scope,
        state, revocability, credential_name, decision_id, created_at, deadline, mint_deadline,
        backend_ends_by, claim_owner, claim_until, snapshot)
      select ${lease.id}::uuid, ${taskId}::uuid, ${agent.id}, ${agent.owner}, ${lease.instance},
        ${lease.issuer}, ${lease.subject}, ${lease.scope}, 'minting', ${lease.revocability},
        ${lease.credentialName}, ${lease.decisionId}::uuid, clock.now, ${lease.deadline},
        clock.now + make_interval(secs => ${lease.mintDeadlineSeconds}), ${lease.backendEndsBy},
        ${ledger.replica}, clock.now + make_interval(secs => ${lease.mintDeadlineSeconds}),
        ${JSON.stringify(lease.snapshot)}::jsonb
      from clock
      returning ${leaseColumns('l')}
    ), counted as (
      insert into mayfly.opening as o (agent_id, second, opened)
      select ${agent.id}, floor(extract(epoch from clock.now))::bigint, 1 from clock
      on conflict (agent_id, second) do update set opened = o.opened + 1
    ), forgotten as (
      delete from mayfly.opening as o where o.agent_id = ${agent.id}
        and o.second < floor(extract(epoch from mayfly.ledger_now()))::bigint - ${OPENINGS_KEPT_SECONDS}::int
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select ${event.id}::uuid, clock.now, ${event.kind}, ${event.agentId}, ${event.taskId}::uuid,
        ${event.leaseId}::uuid, ${canonicalJson(event.body)}
      from clock
    )
    select ${leaseColumns('opened')} from opened`.execute(on);
  const [row] = rows;
  if (row === undefined) throw new Error('the ledger answered no lease');
  return leaseFromRow(row);
}
