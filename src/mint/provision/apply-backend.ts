import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { SecretText } from '../../foundation/secret-text.ts';
import { problemOf } from './administrator.ts';
import type { Administrator, ProvisionProblem } from './administrator.ts';
import type { BackendDesign, ConfigDesign } from './backend-design.ts';
import { unrotated } from './connection-url.ts';
import { planBackend } from './plan-backend.ts';
import type { BackendPlan, PlannedStep } from './plan-backend.ts';

/** By target: the password of OpenBao's login there, needed once, when its config is made. */
export type AdminPasswords = ReadonlyMap<string, SecretText>;

type Outcome = Result<'done', ProvisionProblem>;

/**
 * Makes OpenBao hold what the design says: plans, refuses as a whole if anything belongs to somebody
 * else or a password is missing, then makes and changes in order. Every step may be repeated; after
 * an apply that broke off, the next one goes on. Returns the plan that was carried out.
 */
export async function applyBackend(
  admin: Administrator,
  design: BackendDesign,
  passwords: AdminPasswords,
): Promise<Result<BackendPlan, ProvisionProblem>> {
  const plan = await planBackend(admin, design);
  if (!plan.ok) return plan;
  for (const step of plan.value.steps) {
    const obstacle = obstacleTo(step, design, passwords);
    if (obstacle !== undefined) return fail(obstacle);
  }
  for (const step of plan.value.steps) {
    const done = await carryOut(admin, step, design, passwords);
    if (!done.ok) return done;
  }
  return plan;
}

function obstacleTo(
  step: PlannedStep,
  design: BackendDesign,
  passwords: AdminPasswords,
): ProvisionProblem | undefined {
  const at = step.piece.path;
  if (step.action === 'refused') {
    const differing = step.drift.map(({ field, seen }) => `${field} is ${seen}`).join(', ');
    return { at, message: `it is there and not this installation's (${differing})` };
  }
  const config = configOf(step, design);
  if (config !== undefined && step.action === 'create' && !passwords.has(config.target)) {
    const { target, adminUsername } = config;
    return { at, message: `the password of ${adminUsername} at target ${target} is needed` };
  }
  return undefined;
}

async function carryOut(
  admin: Administrator,
  step: PlannedStep,
  design: BackendDesign,
  passwords: AdminPasswords,
): Promise<Outcome> {
  const config = configOf(step, design);
  if (config !== undefined) {
    return settleConfig(admin, step, config.connectionUrl, passwords.get(config.target));
  }
  const { piece, action } = step;
  if (action === 'create') return write(admin, piece.path, piece.makeBody ?? piece.wanted);
  if (action !== 'change') return succeed('done');
  const change = piece.changeAt ?? { path: piece.path, body: piece.wanted };
  return write(admin, change.path, change.body);
}

/**
 * A config with a password that somebody knows carries a mark until OpenBao has replaced it. One
 * that moved to another server gets the password anew, if it was given; else OpenBao keeps its own.
 */
async function settleConfig(
  admin: Administrator,
  step: PlannedStep,
  url: string,
  password: SecretText | undefined,
): Promise<Outcome> {
  const { path, wanted } = step.piece;
  const fresh = step.action === 'create' || (moved(step) && !step.rotates);
  const given = fresh ? password : undefined;
  if (given !== undefined) {
    const body = { ...wanted, connection_url: unrotated(url), password: given.reveal() };
    const made = await write(admin, path, body);
    if (!made.ok) return made;
  }
  if (given !== undefined || step.rotates) {
    const rotated = await write(admin, path.replace('/config/', '/rotate-root/'), {});
    if (!rotated.ok) return rotated;
  }
  return step.action === 'unchanged' ? succeed('done') : write(admin, path, wanted);
}

/** Another server, database or login, and not only another time-out. */
function moved({ drift }: PlannedStep): boolean {
  const place = (url: string) => url.split('?')[0];
  return drift.some(
    ({ field, wanted, seen }) =>
      field === 'username' || (field === 'connection_url' && place(wanted) !== place(seen)),
  );
}

function configOf(step: PlannedStep, design: BackendDesign): ConfigDesign | undefined {
  if (step.piece.kind !== 'database_config') return undefined;
  return design.configs.find(
    ({ mount, config }) => step.piece.path === `${mount}/config/${config}`,
  );
}

async function write(admin: Administrator, path: string, body: object): Promise<Outcome> {
  const result = await admin.write(path, body);
  return result.ok ? succeed('done') : problemOf(path, result.failure);
}
