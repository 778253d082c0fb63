import type { Permission } from '../catalogue/operators.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';

/** Runs a use case of operators only for one who holds its permission. */
export function withPermission<Value>(
  caller: OperatorCaller,
  permission: Permission,
  work: () => Promise<Result<Value, Failure>>,
): Promise<Result<Value, Failure>> {
  if (caller.permissions.has(permission)) return work();
  return Promise.resolve(
    fail(
      failure(
        'permission_missing',
        `this needs the permission ${permission}; an administrator grants roles in operators.yaml`,
      ),
    ),
  );
}
