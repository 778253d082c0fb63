import { RECONCILER, expectGranted } from './stage.ts';
import type { Stage } from './stage.ts';

/** Leases that the list shows. */
const SHOWN = 8;

/** What a person on call sees, and can do. */
export async function playOperator(stage: Stage): Promise<void> {
  const { telling, world, calls, operator, witness } = stage;
  telling.part('(d) What the operator sees');
  const lease = expectGranted(
    await calls.exchange({
      token: await world.workloadToken(RECONCILER),
      scope: 'orders-write',
      task: {
        task_type: 'reconcile-invoice',
        identifier: `invoice-4713-${stage.monotonicMs().toFixed(0)}`,
        actions: ['read', 'write'],
      },
      ttl: 100,
    }),
  );
  telling.say('One more task is under way. `mayfly leases --all` shows, newest first:');
  telling.say('');
  const list = await operator.table(SHOWN);
  for (const line of list.split('\n')) telling.say(line);
  telling.say('');
  await telling.claim('the list shows the lease that lives', () => ({
    holds: list.split('\n').some((row) => row.includes(lease.leaseId) && row.includes('active')),
    seen: lease.leaseId,
  }));
  await telling.claim('the operator ends it, and its login is gone', async () => {
    const state = await operator.revoke(lease.leaseId, 'shown in the demo');
    const role = await witness.role(lease.username);
    return {
      holds: ['revoked', 'settled'].includes(state) && role === undefined,
      seen: `${state}, role ${role ? 'still there' : 'none'}`,
    };
  });
}
