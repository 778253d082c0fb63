import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { Lease, Task } from '../lease.ts';
import type { Admission, Admit, ExchangeFacts, NewTask, OpenedLease } from '../ledger.ts';
import { AGENT_QUARANTINED, REVOCATION_UNDER_WAY, selects } from '../stop.ts';
import { endingTimedOutTask } from './end-timed-out-tasks.ts';
import { factsOf, lockingFacts } from './exchange-facts.ts';
import { earlierExchange, keepKey, supersede } from './idempotency-keys.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';
import { readThenWrite } from './ledger-transaction.ts';
import type { Writes } from './ledger-transaction.ts';

/**
 * Milliseconds that a lease must still have at its commit: with less, waiting for the agent's lock
 * has used up its life, and the credential would be dead on arrival at the target.
 */
const LIFE_LEFT_MIN_MS = 2_000;
/** Seconds whose counts of opened leases are kept: the minute that counts, and what clocks may differ. */
const OPENINGS_KEPT_SECONDS = 120;

type Agent = { readonly id: string; readonly owner: string };

/**
 * Locks: the agent's row for update, then its open task for share; both until the commit. So caps
 * are exact, and a completion either is seen here or sees the lease.
 */
export async function openLease(
  ledger: LedgerDatabase,
  agent: Agent,
  identifier: string,
  admit: Admit,
  keySha256?: Buffer,
): Promise<Result<OpenedLease, Failure>> {
  let refusal: Failure | undefined;
  const locking = lockingFacts(agent.id, identifier);
  const earlier = keySha256 && earlierExchange(agent.id, keySha256);
  const opened = await readThenWrite(ledger, locking, earlier, (rows, earlierRows) => {
    const facts = factsOf(rows, earlierRows);
    const admitted = admission(agent.id, facts, identifier, admit);
    if (admitted.ok) return keyedWrites(ledger, agent, facts, admitted.value);
    refusal = admitted.failure;
    return undefined;
  });
  if (opened !== undefined) return succeed(opened);
  if (refusal === undefined) throw new Error('an exchange was rolled back without a reason');
  return fail(refusal);
}

/** What the caller admits, if the ledger can keep it. */
function admission(
  agentId: string,
  facts: ExchangeFacts,
  identifier: string,
  admit: Admit,
): Result<Admission, Failure> {
  const admitted = admit(facts);
  if (!admitted.ok) return admitted;
  const { openTask, lease } = admitted.value;
  refuseOther(identifier, openTask);
  const stopped = stoppedBy(agentId, facts, admitted.value);
  if (stopped) return fail(stopped);
  if (lease.deadline.getTime() - facts.now.getTime() < LIFE_LEFT_MIN_MS) {
    const detail = 'The ledger answered too late for the life asked for. Try again.';
    return fail(failure('ledger_unreachable', detail, { retryAfterSeconds: 1 }));
  }
  if (openTask === null && !isOpen(facts)) {
    return fail(failure('task_ended', 'The task has ended. Declare another identifier.'));
  }
  return admitted;
}

/** Quarantine and stops hold here too, whoever admits: this is under the lock that they wait for. */
function stoppedBy(
  agentId: string,
  { quarantined, stops, task }: ExchangeFacts,
  { openTask, lease }: Admission,
): Failure | undefined {
  if (quarantined) return AGENT_QUARANTINED;
  const of = openTask ?? task;
  const { instance, scope, issuer } = lease;
  const asked = { agentId, instance, scope, issuer };
  const within = { taskType: of?.taskType ?? null, workflow: of?.workflow ?? null };
  return stops.some((stop) => selects(stop, { ...asked, ...within }))
    ? REVOCATION_UNDER_WAY
    : undefined;
}

/** By the ledger's clock. */
function isOpen({ task, now }: ExchangeFacts): boolean {
  return task !== null && task.endedAt === null && task.deadline > now;
}

/** The facts were read, and locked, for one identifier: a task of another was not looked at. */
function refuseOther(identifier: string, openTask: NewTask | null): void {
  if (openTask === null || openTask.identifier === identifier) return;
  throw new TypeError('the admitted task has another identifier than the one asked about');
}

function writes(
  ledger: LedgerDatabase,
  agent: Agent,
  facts: ExchangeFacts,
  admission: Admission,
): Writes<OpenedLease> {
  const { openTask, lease } = admission;
  const open = facts.task;
  if (openTask === null) {
    if (open === null) throw new TypeError('an admission names no task');
    return {
      statements: [insertLease(ledger, agent, open.id, admission)],
      result: ([opened]) => ({ lease: onlyLease(opened), task: open, superseded: null }),
    };
  }
  const statements = [
    insertTask(agent, openTask, lease.instance),
    insertLease(ledger, agent, openTask.id, admission),
  ];
  // Past its deadline, and not marked yet, it still holds the identifier.
  const stale = open?.endedAt === null ? [endingTimedOutTask(open.id)] : [];
  return {
    statements: [...stale, ...statements],
    result: (rows) => ({
      lease: onlyLease(rows.at(-1)),
      task: openedTask(agent, openTask, lease.instance, rows.at(-2)),
      superseded: null,
    }),
  };
}

/** With a key between two statements more: what is replaced is fenced, the key is kept. */
function keyedWrites(
  ledger: LedgerDatabase,
  agent: Agent,
  facts: ExchangeFacts,
  admission: Admission,
): Writes<OpenedLease> {
  const plain = writes(ledger, agent, facts, admission);
  const { keyed, lease } = admission;
  if (keyed === undefined) return plain;
  const { replaces } = keyed;
  const fence = replaces === null ? [] : [supersede(ledger, agent.id, replaces, lease.id)];
  return {
    statements: [...fence, ...plain.statements, keepKey(agent.id, keyed, lease)],
    result: (rows) => {
      const [fenced] = (fence.length > 0 ? (rows[0] ?? []) : []) as readonly LeaseRow[];
      const superseded = fenced === undefined ? null : leaseFromRow(fenced);
      return { ...plain.result(rows.slice(fence.length, -1)), superseded };
    },
  };
}

function onlyLease(rows: readonly unknown[] | undefined): Lease {
  const [row] = (rows ?? []) as readonly LeaseRow[];
  if (row === undefined) throw new Error('the ledger answered no lease');
  return leaseFromRow(row);
}

function openedTask(
  agent: Agent,
  task: NewTask,
  instance: string,
  rows: readonly unknown[] | undefined,
): Task {
  const [row] = (rows ?? []) as readonly { opened_at: Date }[];
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

function insertTask(agent: Agent, task: NewTask, instance: string): RawBuilder<unknown> {
  return sql`
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
    select opened_at from opened`;
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

function insertLease(
  ledger: LedgerDatabase,
  agent: Agent,
  taskId: string,
  admission: Admission,
): RawBuilder<unknown> {
  const { lease } = admission;
  const event = admission.event(taskId);
  return sql`
    with clock as materialized (select mayfly.ledger_now() as now),
    opened as (
      insert into mayfly.lease as l (id, task_id, agent_id, owner, instance, issuer, subject, scope,
        state, revocability, credential_name, decision_id, created_at, deadline, mint_deadline,
        backend_ends_by, claim_owner, claim_until, request_sha256, replaces_lease_id, snapshot)
      select ${lease.id}::uuid, ${taskId}::uuid, ${agent.id}, ${agent.owner}, ${lease.instance},
        ${lease.issuer}, ${lease.subject}, ${lease.scope}, 'minting', ${lease.revocability},
        ${lease.credentialName}, ${lease.decisionId}::uuid, clock.now, ${lease.deadline},
        clock.now + make_interval(secs => ${lease.mintDeadlineSeconds}), ${lease.backendEndsBy},
        ${ledger.replica}, clock.now + make_interval(secs => ${lease.mintDeadlineSeconds}),
        ${lease.requestSha256}::bytea, ${admission.keyed?.replaces ?? null}::uuid, ${JSON.stringify(lease.snapshot)}::jsonb
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
    select ${leaseColumns('opened')} from opened`;
}
