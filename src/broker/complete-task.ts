import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { AgentCaller, OperatorCaller } from '../identity/principal.ts';
import type { EndedTask, EndTask } from '../ledger/ledger.ts';
import type { Completion, TaskEnding } from './broker.ts';
import { endOnce, endUntilDead, isDead } from './end-until-dead.ts';
import { withLedger } from './ledger-faults.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';
import { nowOrLater } from './tell-later.ts';

/**
 * Ends an agent's own task and waits until its leases are dead, `waitSeconds` at most. Asks no
 * policy and no backend: ending must always be possible. Completing twice answers the same. Where too
 * many calls of the agent wait already, it answers at once.
 */
export function completeTask(
  parts: BrokerParts,
  caller: AgentCaller,
  taskId: string,
  completion: Completion,
  waitSeconds: number,
): Promise<Result<TaskEnding, Failure>> {
  return withLedger(async () => {
    const ended = await endNowOrLater(parts, {
      taskId,
      agentId: caller.agent.id,
      cause: 'completed',
      outcome: completion.outcome,
      note: completion.note,
      by: `agent:${caller.agent.id}`,
    });
    if (!ended) return noSuchTask();
    const done = await parts.waiting.calls.take(caller.agent.id);
    try {
      return await waitForDeaths(parts, ended, done === null ? 0 : waitSeconds);
    } finally {
      done?.();
    }
  });
}

/** The same for any task, by an operator, with a reason. */
export function revokeTask(
  parts: BrokerParts,
  caller: OperatorCaller,
  taskId: string,
  reason: string,
  waitSeconds: number,
): Promise<Result<TaskEnding, Failure>> {
  return withPermission(caller, 'tasks.revoke', () =>
    withLedger(async () => {
      const ended = await endNowOrLater(parts, {
        taskId,
        cause: 'revoked',
        outcome: null,
        note: reason,
        by: caller.name,
      });
      return ended ? waitForDeaths(parts, ended, waitSeconds) : noSuchTask();
    }),
  );
}

/** Whoever asked for an end gets it, also where the ledger's answer was lost on the way. */
function endNowOrLater(parts: BrokerParts, end: EndTask): Promise<EndedTask | null> {
  return nowOrLater(
    parts,
    'end a task',
    () => parts.ledger.endTask(end),
    async (ended) => ended && endOnce(parts, ended.leases),
  );
}

async function waitForDeaths(
  parts: BrokerParts,
  ended: EndedTask,
  waitSeconds: number,
): Promise<Result<TaskEnding, Failure>> {
  if (ended.endedNow) parts.metrics.ended(ended.task.endCause ?? 'completed');
  const leases = await endUntilDead(parts, ended.leases, waitSeconds);
  const { task, leaseCount } = ended;
  return succeed({ task, leases, leaseCount, allDead: leases.every(isDead), waitSeconds });
}

function noSuchTask(): Result<never, Failure> {
  return fail(failure('not_found', 'no such task', { field: 'task_id' }));
}
