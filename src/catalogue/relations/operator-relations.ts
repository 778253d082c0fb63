import type { CatalogueProblem } from '../catalogue.ts';
import { complain, unknownReference } from '../declared.ts';
import type { Declared } from '../declared.ts';
import type { Declarations } from '../declarations.ts';
import type { Operators } from '../operators.ts';

/** What is wrong between the operators' bindings, their roles and the issuers. */
export function operatorProblems(all: Declarations): CatalogueProblem[] {
  const { operators } = all;
  if (!operators) return [];
  return operators.value.bindings.flatMap((binding, index) => [
    ...unknownReference(operators, ['bindings', index, 'role'], binding.role, {
      word: 'role',
      names: new Set(Object.keys(operators.value.roles)),
    }),
    ...unknownReference(operators, ['bindings', index, 'issuer'], binding.issuer, all.issuers),
    ...useProblem(operators, index, binding.issuer, all),
  ]);
}

function useProblem(
  operators: Declared<Operators>,
  index: number,
  name: string,
  all: Declarations,
): CatalogueProblem[] {
  const issuer = all.issuers.entries.get(name)?.value;
  if (!issuer || issuer.use === 'operator') return [];
  const problem = `names the issuer "${name}", whose tokens are for workloads`;
  const remedy = 'Name an issuer of use operator.';
  return [complain(operators, ['bindings', index, 'issuer'], problem, remedy)];
}
