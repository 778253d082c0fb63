import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Scope } from '../catalogue/scope.ts';
import type { Target } from '../catalogue/target.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import type { AllowedGroup, TargetInstallation } from '../target/postgres/installation-plan.ts';
import type { BackendParts, BackendProblem, LedgerIdentity } from './backend-parts.ts';

/** The secret that holds the password of OpenBao's login until OpenBao has replaced it. */
export function adminSecretOf(target: Target): string {
  return `${target.name.toUpperCase().replaceAll('-', '_')}_ADMIN`;
}

/**
 * What has to be installed at a target, with the passwords of its logins: known ones as they are,
 * missing ones made and kept first, so that a run that breaks off leaves no login that nobody knows.
 */
export async function targetInstallation(
  parts: Pick<BackendParts, 'catalogue' | 'secrets' | 'ids'>,
  target: Target,
  { installation, ledger }: LedgerIdentity,
  keep: 'keep' | 'forget',
): Promise<Result<TargetInstallation, BackendProblem>> {
  const { guard, prover } = target;
  if (!guard || !prover) return fail(loginsMissing(target));
  const password = (name: string) => secretFor(parts, name, keep);
  return succeed({
    installation,
    ledger,
    database: target.database,
    admin: {
      username: target.admin.username,
      password: await password(adminSecretOf(target)),
    },
    guard: { username: guard.username, password: await password(guard.secret) },
    prover: { username: prover.username, password: await password(prover.secret) },
    groups: allowedGroups(parts.catalogue, target),
    narrowPublic: target.narrow_public,
    routinesOwner: target.routines_owner,
  });
}

function loginsMissing(target: Target): BackendProblem {
  return {
    where: `target ${target.name}`,
    detail: 'has no guard or no prover. Name both logins in its file under targets/.',
  };
}

async function secretFor(
  { secrets, ids }: Pick<BackendParts, 'secrets' | 'ids'>,
  name: string,
  keep: 'keep' | 'forget',
): Promise<SecretText> {
  const known = await secrets.read(name);
  if (known) return known;
  const made = new SecretText(ids.password());
  if (keep === 'keep') await secrets.write(name, made);
  return made;
}

/** A group's limits come from the scopes that hand it out; of two, the narrower one. */
function allowedGroups(catalogue: Catalogue, target: Target): readonly AllowedGroup[] {
  const scopes = [...catalogue.scopes.values()].filter((scope) => scope.target === target.name);
  return target.groups.map((name) => {
    const users = scopes.filter((scope) => scope.group === name);
    return {
      name,
      // A group that no scope hands out yet lets one session in.
      connectionLimit: Math.min(...(users.length > 0 ? users : [ONE]).map(limitOf)),
      ...createsIn(users),
    };
  });
}

const ONE = { connection_limit: 1 };

function limitOf(scope: { readonly connection_limit: number }): number {
  return scope.connection_limit;
}

/** Invariant I10: the target grants it to all holders of a group, so all of its scopes must say it. */
function createsIn(scopes: readonly Scope[]): { createsIn?: string } {
  const said = new Set(scopes.map((scope) => scope.creates_in));
  const [schema] = said;
  return said.size === 1 && schema !== undefined ? { createsIn: schema } : {};
}
