import { RECONCILER, eventually, expectGranted } from './stage.ts';
import type { Stage } from './stage.ts';

/** Seconds that the agent asks for. */
const TTL_SECONDS = 5;
/** Milliseconds past the deadline within which the sweep must have ended it (docs/limits.md). */
const BOUND_MS = 5_000;

/** An agent that never comes back. */
export async function playVanished(stage: Stage): Promise<void> {
  const { telling, world, calls, witness } = stage;
  telling.part('(b) An agent vanishes');
  telling.say(`Another task, and this time the agent asks for ${TTL_SECONDS} seconds and is never`);
  telling.say('heard of again. Nobody completes anything; the clock has to do it.');
  const lease = expectGranted(
    await calls.exchange({
      token: await world.workloadToken(RECONCILER),
      scope: 'orders-read',
      task: {
        task_type: 'reconcile-invoice',
        identifier: `invoice-4712-${stage.monotonicMs().toFixed(0)}`,
        actions: ['read'],
      },
      ttl: TTL_SECONDS,
    }),
  );
  const deadline = deadlineIn(lease.username);
  await telling.claim('the login exists, and its name says until when', async () => {
    const role = await witness.role(lease.username);
    return { holds: role?.canLogin === true, seen: `${lease.username}: ${deadline.toISOString()}` };
  });
  await telling.claim(
    'the sweep ended it at its deadline, by the clock of the target',
    async () => {
      const look = () => witness.roleAt(lease.username);
      const patienceMs = TTL_SECONDS * 1000 + BOUND_MS;
      const seen = await eventually(stage, patienceMs, look, ({ exists }) => !exists);
      const late = seen.at.getTime() - deadline.getTime();
      return {
        holds: !seen.exists && late >= -1000 && late <= BOUND_MS,
        seen: seen.exists ? 'it still lives' : `gone ${late} ms after its deadline`,
      };
    },
  );
  await telling.claim('the record says why it ended', async () => {
    const look = () => stage.operator.lease(lease.leaseId);
    const after = await eventually(stage, BOUND_MS, look, (one) => one.state === 'settled');
    return {
      holds: after.state === 'settled' && after.endCause === 'deadline',
      seen: `${after.state}, ended by: ${after.endCause ?? 'nobody'}`,
    };
  });
}

/** The last eight digits of a credential's name are its deadline, in Unix seconds. */
function deadlineIn(username: string): Date {
  return new Date(Number.parseInt(username.slice(-8), 16) * 1000);
}
