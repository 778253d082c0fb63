import type { Target } from '../catalogue/target.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { ProvisionProblem } from '../mint/provision/administrator.ts';
import { applyBackend as applyToOpenBao } from '../mint/provision/apply-backend.ts';
import { issueAppRoleLogin } from '../mint/provision/approle-login.ts';
import { planBackend as planOpenBao } from '../mint/provision/plan-backend.ts';
import type { BackendPlan } from '../mint/provision/plan-backend.ts';
import { installTarget } from '../target/postgres/install.ts';
import { backendDesign } from './backend-design.ts';
import { BROKER_SECRETS } from './backend-parts.ts';
import type { BackendParts, BackendProblem, LedgerIdentity } from './backend-parts.ts';
import { provisionedSteps, targetSteps } from './provisioned.ts';
import type { Provisioned } from './provisioned.ts';
import { adminSecretOf, targetInstallation } from './target-installation.ts';

export type Applied = {
  readonly identity: LedgerIdentity;
  readonly steps: readonly Provisioned[];
};

/**
 * Makes the ledger, the targets and OpenBao hold what the catalogue needs, in this order: the ledger
 * says which installation it is, a target must know OpenBao's login before OpenBao uses it. Every
 * step may be repeated; a second run changes nothing; one that broke off is gone on with.
 */
export async function applyBackend(parts: BackendParts): Promise<Result<Applied, BackendProblem>> {
  const ledger = await parts.ledger.apply();
  const steps: Provisioned[] = [...ledger.steps];
  const foreign = await foreignAtOpenBao(parts, ledger.identity);
  if (foreign) return fail(foreign);
  for (const target of parts.catalogue.targets.values()) {
    const installed = await applyToTarget(parts, target, ledger.identity);
    if (!installed.ok) return installed;
    steps.push(...installed.value);
  }
  const settled = await applyToBackend(parts, ledger.identity);
  if (!settled.ok) return settled;
  steps.push(...settled.value);
  return succeed({ identity: ledger.identity, steps });
}

/**
 * What OpenBao holds for somebody else is found before a target is touched: another installation
 * with the same names would else have lost its guard's password by then.
 */
async function foreignAtOpenBao(
  parts: BackendParts,
  identity: LedgerIdentity,
): Promise<BackendProblem | undefined> {
  const plan = await planOpenBao(parts.backend, backendDesign(parts, identity));
  if (!plan.ok) return openBaoProblem(plan.failure);
  const refused = provisionedSteps(plan.value).find(({ state }) => state === 'refused');
  if (!refused) return undefined;
  const detail = `${refused.what} is there and not this installation's (${refused.detail ?? ''})`;
  return { where: 'openbao', detail };
}

async function applyToTarget(
  parts: BackendParts,
  target: Target,
  identity: LedgerIdentity,
): Promise<Result<readonly Provisioned[], BackendProblem>> {
  const where = `target ${target.name}`;
  const administrator = parts.targets.get(target.name);
  if (!administrator) return fail(administratorMissing(where));
  const unused = (await parts.secrets.read(adminSecretOf(target))) === undefined;
  const plan = await targetInstallation(parts, target, identity, 'keep');
  if (!plan.ok) return plan;
  const outcome = await installTarget(administrator, plan.value, parts.ids);
  if (!outcome.ok) return fail({ where, detail: outcome.failure.detail });
  const role = outcome.value.find(({ what }) => what === `role ${target.admin.username}`);
  // OpenBao has its own password for a login that was there before.
  if (unused && role?.state !== 'created') await parts.secrets.remove(adminSecretOf(target));
  return succeed(targetSteps(target.name, outcome.value));
}

async function applyToBackend(
  parts: BackendParts,
  identity: LedgerIdentity,
): Promise<Result<readonly Provisioned[], BackendProblem>> {
  const { backend, catalogue, secrets } = parts;
  const targets = [...catalogue.targets.values()];
  const passwords = new Map<string, SecretText>();
  for (const target of targets) {
    const password = await secrets.read(adminSecretOf(target));
    if (password) passwords.set(target.name, password);
  }
  const outcome = await applyToOpenBao(backend, backendDesign(parts, identity), passwords);
  if (!outcome.ok) return fail(openBaoProblem(outcome.failure));
  // OpenBao has replaced these passwords: what is kept opens nothing any more.
  for (const target of targets) await secrets.remove(adminSecretOf(target));
  const logins = await applyLogins(parts, outcome.value);
  if (!logins.ok) return logins;
  return succeed([...provisionedSteps(outcome.value), ...logins.value]);
}

const LOGIN_SECRETS = {
  minter: { roleId: BROKER_SECRETS.minterRoleId, secretId: BROKER_SECRETS.minterSecretId },
  reaper: { roleId: BROKER_SECRETS.reaperRoleId, secretId: BROKER_SECRETS.reaperSecretId },
} as const;

/** A login is made where the broker has none, or where its AppRole was made anew. */
async function applyLogins(
  { backend, secrets }: BackendParts,
  plan: BackendPlan,
): Promise<Result<readonly Provisioned[], BackendProblem>> {
  const steps: Provisioned[] = [];
  for (const identity of ['minter', 'reaper'] as const) {
    const names = LOGIN_SECRETS[identity];
    const known = (await secrets.read(names.roleId)) && (await secrets.read(names.secretId));
    const what = `login of the ${identity}`;
    if (known && !isNew(plan, identity)) {
      steps.push({ where: 'openbao', what, state: 'unchanged' });
      continue;
    }
    const login = await issueAppRoleLogin(backend, identity);
    if (!login.ok) return fail(openBaoProblem(login.failure));
    await secrets.write(names.roleId, login.value.roleId);
    await secrets.write(names.secretId, login.value.secretId);
    steps.push({ where: 'openbao', what, state: known ? 'changed' : 'created' });
  }
  return succeed(steps);
}

function isNew(plan: BackendPlan, identity: 'minter' | 'reaper'): boolean {
  return plan.steps.some(
    ({ piece, action }) =>
      piece.kind === 'approle' && piece.path.endsWith(`-${identity}`) && action === 'create',
  );
}

function openBaoProblem({ at, message }: ProvisionProblem): BackendProblem {
  return { where: 'openbao', detail: `${at}: ${message}` };
}

export function administratorMissing(where: string): BackendProblem {
  return { where, detail: 'no administrator was given for it (--target-admin <name>=<file>).' };
}
