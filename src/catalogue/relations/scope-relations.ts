import type { CatalogueProblem } from '../catalogue.ts';
import { clashes, complain, unknownReference, whereabouts } from '../declared.ts';
import type { Declared } from '../declared.ts';
import type { Declarations } from '../declarations.ts';
import { listed } from '../near-miss.ts';
import type { Scope } from '../scope.ts';
import type { Target } from '../target.ts';

/** What is wrong between scopes and their targets. */
export function scopeProblems(all: Declarations): CatalogueProblem[] {
  const scopes = [...all.scopes.entries.values()];
  return [
    ...scopes.flatMap((scope) => problemsOf(scope, all)),
    ...clashes(scopes, (scope) => roleKey(scope, all), sameBackendRole),
    ...createsInProblems(scopes),
  ];
}

function problemsOf(scope: Declared<Scope>, all: Declarations): CatalogueProblem[] {
  const { target: name } = scope.value;
  const target = all.targets.entries.get(name)?.value;
  return [
    ...unknownReference(scope, ['target'], name, all.targets),
    ...revocabilityProblems(scope),
    ...(target ? targetProblems(scope, target) : []),
  ];
}

function revocabilityProblems(scope: Declared<Scope>): CatalogueProblem[] {
  const { revocability, proof } = scope.value;
  if (revocability === 'proven' && proof === 'backend') {
    const remedy = 'Set proof: target, or revocability: revocable.';
    return [complain(scope, ['revocability'], 'claims a proof that nobody makes', remedy)];
  }
  if (revocability === 'expiry' || revocability === 'static') {
    const remedy = 'Set proven or revocable: database credentials can be revoked.';
    return [complain(scope, ['revocability'], 'does not fit the kind database', remedy)];
  }
  return [];
}

function targetProblems(scope: Declared<Scope>, target: Target): CatalogueProblem[] {
  const problems: CatalogueProblem[] = [];
  if (!target.groups.includes(scope.value.group)) {
    problems.push(
      complain(
        scope,
        ['group'],
        `is not one of the groups of the target "${target.name}"`,
        `Name one of: ${listed(target.groups)}; or add it to the target.`,
      ),
    );
  }
  if (scope.value.revocability === 'proven' && target.endpoints.length > 0) {
    problems.push(
      complain(
        scope,
        ['revocability'],
        `cannot be proven: sessions can live at other endpoints of "${target.name}", where nobody looks`,
        'Set revocability: revocable, or let the credentials in at the one server only.',
      ),
    );
  }
  const missing = (['guard', 'prover'] as const).filter((login) => !target[login]);
  if (scope.value.proof === 'target' && missing.length > 0) {
    problems.push(
      complain(
        scope,
        ['proof'],
        `needs a guard and a prover; the target "${target.name}" has no ${missing.join(' and no ')}`,
        `Declare ${missing.join(' and ')} there, or set proof: backend and revocability: revocable.`,
      ),
    );
  }
  return problems;
}

function roleKey(scope: Scope, all: Declarations): string | undefined {
  const target = all.targets.entries.get(scope.target)?.value;
  return target && `${target.backend.mount}/${scope.backend_role}`;
}

function sameBackendRole(scope: Declared<Scope>, earlier: Declared<Scope>): CatalogueProblem {
  return complain(
    scope,
    ['backend_role'],
    `is the backend role of "${earlier.value.name}" too (${whereabouts(earlier)})`,
    'Give each scope a role of its own below the mount.',
  );
}

/** Invariant I10: the target knows only groups, so what one scope may create all of its group may. */
function createsInProblems(scopes: readonly Declared<Scope>[]): CatalogueProblem[] {
  const first = new Map<string, Declared<Scope>>();
  return scopes.flatMap((scope) => {
    const key = `${scope.value.target} ${scope.value.group}`;
    const earlier = first.get(key) ?? scope;
    first.set(key, earlier);
    return earlier.value.creates_in === scope.value.creates_in
      ? []
      : [createsApart(scope, earlier)];
  });
}

function createsApart(scope: Declared<Scope>, earlier: Declared<Scope>): CatalogueProblem {
  const { creates_in, group } = scope.value;
  return complain(
    scope,
    creates_in === undefined ? ['group'] : ['creates_in'],
    `lets holders create ${where(creates_in)}, but "${earlier.value.name}" of the same group ${where(earlier.value.creates_in)} (${whereabouts(earlier)})`,
    `Say the same creates_in in all scopes of a group, or hand out a group of its own instead of ${group}.`,
  );
}

function where(schema: string | undefined): string {
  return schema === undefined ? 'nowhere' : `in "${schema}"`;
}
