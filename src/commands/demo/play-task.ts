import { loginRefusal, openSession } from './borrowed-session.ts';
import type { BorrowedSession } from './borrowed-session.ts';
import type { Granted } from './agent-calls.ts';
import { RECONCILER, eventually, expectGranted } from './stage.ts';
import type { Stage } from './stage.ts';

/** Seconds of life that the agent asks for; it needs a moment only. */
const TTL_SECONDS = 120;
/** Milliseconds that OpenBao's books may take after the death; normally a few. */
const SETTLE_PATIENCE_MS = 5_000;

/** A task from beginning to end: exchange, work, complete, dead. */
export async function playTask(stage: Stage): Promise<void> {
  const { telling, world, calls } = stage;
  telling.part('(a) An agent does a task');
  telling.say(`${RECONCILER} proves what it is with a token of its identity provider, says`);
  telling.say('what it is about to do, and asks for a login to the order book.');
  const token = await world.workloadToken(RECONCILER);
  const lease = expectGranted(
    await calls.exchange({
      token,
      scope: 'orders-read',
      task: {
        task_type: 'reconcile-invoice',
        identifier: `invoice-4711-${stage.monotonicMs().toFixed(0)}`,
        purpose: 'Reconcile invoice 4711 with the order book',
        actions: ['read'],
      },
      ttl: TTL_SECONDS,
    }),
  );
  const session = await work(stage, lease);
  const backendLeaseId = await controls(stage, lease);
  await complete(stage, lease, session);
  await prove(stage, lease, session, backendLeaseId);
}

async function work(stage: Stage, lease: Granted): Promise<BorrowedSession> {
  const { telling } = stage;
  await telling.claim('Mayfly had OpenBao make a login for this task alone', () => ({
    holds: lease.expiresIn <= TTL_SECONDS && lease.expiresIn > 0,
    seen: `${lease.username}, for ${lease.expiresIn} s`,
  }));
  const session = await openSession(lease.uri);
  await telling.claim('the agent logs in with it and reads', async () => {
    const [row] = await session.query<{ count: string; who: string }>(
      'select count(*) as count, current_user as who from orders',
    );
    const holds = row?.who === lease.username && Number(row.count) > 0;
    return { holds, seen: `${row?.count ?? 'no'} orders` };
  });
  await telling.claim('it can do no more than its scope says: writing is refused', async () => {
    const said = await session
      .query('update orders set id = id where false')
      .then(() => undefined)
      .catch((thrown: Error) => thrown.message);
    return { holds: said?.includes('permission denied') === true, seen: said ?? 'it could write' };
  });
  return session;
}

/** What will be looked for after the end must be seen before it, or its absence proves nothing. */
async function controls(stage: Stage, lease: Granted): Promise<string> {
  const { telling, witness, operator } = stage;
  const before = await operator.lease(lease.leaseId);
  await telling.claim('now: pg_roles has that role, OpenBao has its lease', async () => {
    const role = await witness.role(lease.username);
    const known = await witness.backendKnows(before.backendLeaseId);
    return {
      holds: role?.canLogin === true && known && before.state === 'active',
      seen: `role ${role ? `oid ${role.oid}` : 'missing'}, lease ${known ? 'known' : 'unknown'}, ${before.state}`,
    };
  });
  return before.backendLeaseId;
}

async function complete(stage: Stage, lease: Granted, session: BorrowedSession): Promise<void> {
  const { telling, calls, world } = stage;
  telling.say('The agent says that it is done, and keeps its session open to see what happens.');
  // Any instance of the agent may complete its task, with a fresh token.
  const token = await world.workloadToken(RECONCILER);
  const begun = stage.monotonicMs();
  await telling.claim('completing the task answers that every lease of it is dead', async () => {
    const { status, states } = await calls.complete(token, lease.taskId);
    const ms = stage.monotonicMs() - begun;
    const dead = states.every((state) => state === 'revoked' || state === 'settled');
    return {
      holds: status === 200 && states.length > 0 && dead,
      seen: `${status}, ${states.join(', ')}, after ${ms.toFixed(1)} ms`,
    };
  });
  await telling.claim('its open session was cut', async () => {
    const gone = await session.query('select 1').then(
      () => false,
      () => true,
    );
    return { holds: gone, seen: gone ? 'the server ended it' : 'it still answers' };
  });
}

async function prove(
  stage: Stage,
  lease: Granted,
  session: BorrowedSession,
  backendLeaseId: string,
): Promise<void> {
  const { telling, witness, operator } = stage;
  await session.close();
  await telling.claim('a new login with the credential fails', async () => {
    const refusal = await loginRefusal(lease.uri);
    return { holds: refusal !== undefined, seen: refusal ?? 'it was let in' };
  });
  await telling.claim('pg_roles has no such role, and no session is left of it', async () => {
    const role = await witness.role(lease.username);
    const sessions = await witness.sessions(lease.username);
    return {
      holds: role === undefined && sessions === 0,
      seen: `${role ? 'still there' : 'none'}, ${sessions} sessions`,
    };
  });
  await telling.claim('OpenBao knows no such lease any more', async () => {
    const look = () => witness.backendKnows(backendLeaseId);
    const known = await eventually(stage, SETTLE_PATIENCE_MS, look, (value) => !value);
    return { holds: !known, seen: known ? 'it does' : 'invalid lease' };
  });
  await telling.claim('the lease is settled, with its evidence', async () => {
    const look = () => operator.lease(lease.leaseId);
    const after = await eventually(stage, SETTLE_PATIENCE_MS, look, (l) => l.state === 'settled');
    return {
      holds: after.state === 'settled' && after.evidence !== undefined,
      seen: `${after.state} (${after.revocability}), ended by: ${after.endCause ?? 'nobody'}`,
    };
  });
  const { evidence } = await operator.lease(lease.leaseId);
  for (const line of JSON.stringify(evidence ?? null, null, 2).split('\n')) telling.say(line);
}
