import type { Agent } from '../catalogue/agent.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { unixSeconds } from '../foundation/clock.ts';
import type { ExchangeFacts } from '../ledger/ledger.ts';
import { AGENT_QUARANTINED } from '../ledger/stop.ts';
import type { Task } from '../ledger/lease.ts';
import type { Ask } from './ask.ts';
import { widerThanOpen } from './ask.ts';
import { DEADLINE_AHEAD_MS, IDENTIFIER_REST_SECONDS, SHORTEST_TTL_SECONDS } from './margins.ts';

/** What would be granted, before the policy is asked. */
export type ExchangePlan = {
  /** The open task that the lease belongs to; null: a new one is opened. */
  readonly openTask: Task | null;
  readonly taskDeadline: Date;
  /** Whole seconds since the epoch, as the credential's name states it. */
  readonly deadline: Date;
  readonly ttlSeconds: number;
};

/** Seconds after which a refusal for the rate is worth another try. */
const RATE_RETRY_SECONDS = 5;

/**
 * Decides life and deadline from the ledger's facts: the least of what is left of the task, the
 * scope's and task type's longest, and what was asked for. Refuses agents that are quarantined or
 * past their end date, tasks that ended, wider details, and exhausted caps. Pure: it runs under the
 * agent's lock, before the policy.
 */
export function planExchange(
  agent: Agent,
  ask: Ask,
  wantedSeconds: number | null,
  facts: ExchangeFacts,
): Result<ExchangePlan, Failure> {
  if (hasEnded(agent, facts.now)) {
    return fail(
      failure('agent_ended', `agent ${agent.id} ended on ${agent.ends}; its owner may extend it`),
    );
  }
  if (facts.quarantined) return fail(AGENT_QUARANTINED);
  const capped = overCaps(agent, facts);
  if (capped) return fail(capped);
  const task = taskFor(ask, facts);
  if (!task.ok) return task;
  return planLife(ask, wantedSeconds, facts.now, task.value);
}

/** `ends` is the last day, in UTC, on which the agent may exchange. */
export function hasEnded(agent: Agent, now: Date): boolean {
  return now.toISOString().slice(0, 10) > agent.ends;
}

function overCaps(agent: Agent, facts: ExchangeFacts): Failure | undefined {
  const { open_leases: open, leases_per_minute: rate } = agent.limits;
  if (facts.openLeases >= open) {
    return failure(
      'limit_open_leases',
      `agent ${agent.id} holds ${facts.openLeases} open leases of at most ${open}; complete a task first`,
    );
  }
  if (facts.recentLeases >= rate) {
    return failure(
      'limit_rate',
      `agent ${agent.id} opened ${facts.recentLeases} leases within a minute, of at most ${rate}`,
      { retryAfterSeconds: RATE_RETRY_SECONDS },
    );
  }
  return undefined;
}

/** The open task to join; null where a new one is to be opened. */
function taskFor(ask: Ask, facts: ExchangeFacts): Result<Task | null, Failure> {
  const { task, now } = facts;
  if (task === null) return succeed(null);
  const endedAt = task.endedAt ?? (task.deadline <= now ? task.deadline : null);
  if (endedAt !== null) {
    if (now.getTime() - endedAt.getTime() >= IDENTIFIER_REST_SECONDS * 1000) return succeed(null);
    return fail(
      failure('task_ended', 'this task has ended; its identifier rests for 24 hours', {
        field: 'identifier',
      }),
    );
  }
  const wider = widerThanOpen(ask.task, ask.taskType.name, task);
  if (wider !== undefined) {
    return fail(
      failure('wider_than_open_task', `the open task of this identifier has narrower ${wider}`, {
        field: wider,
      }),
    );
  }
  return succeed(task);
}

function planLife(
  ask: Ask,
  wantedSeconds: number | null,
  now: Date,
  openTask: Task | null,
): Result<ExchangePlan, Failure> {
  if (wantedSeconds !== null && wantedSeconds < SHORTEST_TTL_SECONDS) {
    return fail(
      failure('parameter_invalid', `ttl must be at least ${SHORTEST_TTL_SECONDS} seconds`, {
        field: 'ttl',
      }),
    );
  }
  const start = unixSeconds(now);
  const taskEnd = openTask ? unixSeconds(openTask.deadline) : start + ask.task.maxTtlSeconds;
  const ttlSeconds = Math.min(
    taskEnd - start,
    ask.task.maxTtlSeconds,
    ask.scope.max_ttl_seconds,
    ask.taskType.max_ttl_seconds,
    wantedSeconds ?? Infinity,
  );
  const deadline = new Date((start + ttlSeconds) * 1000);
  if (deadline.getTime() - now.getTime() < DEADLINE_AHEAD_MS) {
    return fail(
      failure('task_ended', 'what is left of the task is too short for a credential', {
        field: 'identifier',
      }),
    );
  }
  return succeed({
    openTask,
    taskDeadline: openTask?.deadline ?? new Date(taskEnd * 1000),
    deadline,
    ttlSeconds,
  });
}
