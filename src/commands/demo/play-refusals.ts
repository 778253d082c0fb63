import type { SecretText } from '../../foundation/secret-text.ts';
import { RECONCILER } from './stage.ts';
import type { Stage } from './stage.ts';

type Refusal = {
  readonly about: string;
  readonly reason: string;
  readonly token: () => Promise<SecretText>;
  readonly scope?: string;
  readonly task?: Readonly<Record<string, unknown>>;
  readonly ttl?: number;
};

/** Five ways to be told no, each with its reason, and none of them made anything. */
export async function playRefusals(stage: Stage): Promise<void> {
  const { telling } = stage;
  telling.part('(c) Mayfly says no');
  telling.say('Each answer carries its reason. Before and after each, the roles at the target and');
  telling.say('the leases in OpenBao are counted: a refusal makes nothing.');
  for (const refusal of refusals(stage)) await refuse(stage, refusal);
}

function refusals({ world }: Stage): readonly Refusal[] {
  const reconciler = () => world.workloadToken(RECONCILER);
  return [
    {
      about: 'a kind of task that nobody approved',
      reason: 'task_type_unknown',
      token: reconciler,
      task: { task_type: 'export-customers' },
    },
    {
      about: 'a scope wider than the task that was declared',
      reason: 'scope_wider_than_task',
      token: reconciler,
      scope: 'orders-write',
      task: { actions: ['read'] },
    },
    {
      about: 'a policy forbids it: to write for longer than two minutes',
      reason: 'policy_denied',
      token: reconciler,
      scope: 'orders-write',
      task: { actions: ['read', 'write'] },
      ttl: 250,
    },
    {
      about: 'a workload token that has expired',
      reason: 'subject_token_expired',
      token: () => world.workloadToken('invoice-reconciler-late'),
    },
    {
      about: 'a good token of a workload that is registered as no agent',
      reason: 'unmapped_identity',
      token: () => world.workloadToken('stranger'),
    },
  ];
}

async function refuse(stage: Stage, refusal: Refusal): Promise<void> {
  const { telling, calls, witness } = stage;
  const token = await refusal.token();
  const before = [await witness.credentials(), await witness.backendLeases()];
  const answer = await calls.exchange({
    token,
    scope: refusal.scope ?? 'orders-read',
    task: {
      task_type: 'reconcile-invoice',
      identifier: `refused-${stage.monotonicMs().toFixed(0)}`,
      ...refusal.task,
    },
    ttl: refusal.ttl ?? 60,
  });
  const after = [await witness.credentials(), await witness.backendLeases()];
  await telling.claim(refusal.about, () => ({
    holds: !answer.granted && answer.reason === refusal.reason && String(before) === String(after),
    seen: answer.granted
      ? 'it was granted'
      : `${answer.status} ${answer.error}, ${answer.reason}; roles ${before[0]} -> ${after[0]}, leases ${before[1]} -> ${after[1]}`,
  }));
  if (answer.granted) return;
  telling.say(`  "${answer.description}"`);
  if (answer.decisionId === undefined) return;
  const policies = await witness.decidingPolicies(answer.decisionId);
  if (policies.length > 0) telling.say(`  decided by policy ${policies.join(', ')}`);
}
