import type { Target } from '../catalogue/target.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { planBackend as planOpenBao } from '../mint/provision/plan-backend.ts';
import { planTarget } from '../target/postgres/install.ts';
import { administratorMissing } from './apply-backend.ts';
import { backendDesign } from './backend-design.ts';
import type { BackendParts, BackendProblem, LedgerIdentity } from './backend-parts.ts';
import { provisionedSteps, targetSteps } from './provisioned.ts';
import type { Provisioned } from './provisioned.ts';
import { targetInstallation } from './target-installation.ts';

/**
 * What `apply` would do. Nothing is changed or kept. While there is no ledger, its installation id
 * is not known either, and what depends on it is summed up.
 */
export async function planBackend(
  parts: BackendParts,
): Promise<Result<readonly Provisioned[], BackendProblem>> {
  const { steps: ledger, identity } = await parts.ledger.plan();
  if (identity === null) return succeed([...ledger, ...withoutLedger(parts)]);
  const steps: Provisioned[] = [...ledger];
  for (const target of parts.catalogue.targets.values()) {
    const planned = await planForTarget(parts, target, identity);
    if (!planned.ok) return planned;
    steps.push(...planned.value);
  }
  const backend = await planOpenBao(parts.backend, backendDesign(parts, identity));
  if (!backend.ok) {
    const { at, message } = backend.failure;
    return fail({ where: 'openbao', detail: `${at}: ${message}` });
  }
  return succeed([...steps, ...provisionedSteps(backend.value)]);
}

async function planForTarget(
  parts: BackendParts,
  target: Target,
  identity: LedgerIdentity,
): Promise<Result<readonly Provisioned[], BackendProblem>> {
  const where = `target ${target.name}`;
  const administrator = parts.targets.get(target.name);
  if (!administrator) return fail(administratorMissing(where));
  const plan = await targetInstallation(parts, target, identity, 'forget');
  if (!plan.ok) return plan;
  const outcome = await planTarget(administrator, plan.value, parts.ids);
  return outcome.ok
    ? succeed(targetSteps(target.name, outcome.value))
    : fail({ where, detail: outcome.failure.detail });
}

function withoutLedger({ catalogue }: BackendParts): readonly Provisioned[] {
  const what = 'everything (its names carry the id of the ledger, which is not there yet)';
  return [...[...catalogue.targets.keys()].map((name) => `target ${name}`), 'openbao'].map(
    (where) => ({ where, what, state: 'created' as const }),
  );
}
