import type { Operators, Permission } from '../../catalogue/operators.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import type { OperatorCaller, VerifiedToken } from '../principal.ts';
import { readClaim } from './claim.ts';

/**
 * Collects the permissions of every binding that the token satisfies. None: `permission_missing`.
 * A role of one issuer is never reached by another issuer's token.
 */
export function operatorOf(
  token: VerifiedToken,
  operators: Operators,
): Result<OperatorCaller, Failure> {
  const permissions = new Set<Permission>();
  for (const binding of operators.bindings) {
    if (binding.issuer !== token.issuer) continue;
    if (!holds(readClaim(token.claims, binding.claim), binding.value)) continue;
    if (!Object.hasOwn(operators.roles, binding.role)) continue;
    for (const permission of operators.roles[binding.role] ?? []) permissions.add(permission);
  }
  if (permissions.size === 0) {
    return fail(
      failure(
        'permission_missing',
        'the token is genuine, but no binding gives its bearer a role: add one to the operators',
      ),
    );
  }
  const name = `${token.issuer}|${token.subject}`;
  return succeed({ kind: 'operator', name, permissions, token });
}

function holds(claim: unknown, value: string): boolean {
  return claim === value || (Array.isArray(claim) && claim.includes(value));
}
