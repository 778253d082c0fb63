import { isDead } from '../../src/broker/end-until-dead.ts';
import type { Violation } from './checks.ts';
import type { ModelBackend } from './models/backend-model.ts';
import type { LedgerTables } from './models/ledger-tables.ts';
import type { ModelTarget } from './models/target-model.ts';

/**
 * What has not come to rest: leases that are not closed, residue, leases of the backend, and roles at
 * targets with a guard. After quiet time all of it is a broken promise.
 */
export function remains(
  tables: LedgerTables,
  backend: ModelBackend,
  guarded: readonly ModelTarget[],
): readonly Violation[] {
  const rest = (what: string, subject: string) => ({ invariant: 'rest', what, subject });
  const pending = [...tables.pending].map((id) => {
    const lease = tables.leases.get(id);
    return rest(`${lease?.state} at the end: ${lease?.lateReason}`, id);
  });
  const residue = [...tables.withResidue].map((id) => rest('residue at the end', id));
  const kept = [...backend.leases.values()].map(({ id, name }) =>
    rest(`the backend has ${id} at the end`, name),
  );
  const roles = guarded.flatMap((target) =>
    [...target.roles.keys()].map((name) => {
      const lease = tables.leases.get(tables.byName.get(name) ?? '');
      const known = lease === undefined ? 'unknown' : isDead(lease) ? 'dead' : 'open';
      return rest(`a role at the end, its lease ${known}`, name);
    }),
  );
  return [...pending, ...residue, ...kept, ...roles];
}
