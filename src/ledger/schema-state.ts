import { KNOWN_VERSION } from './migrations.ts';

/** How the ledger's schema and this broker fit together. */
export type SchemaState = {
  /**
   * - `current`: made for each other.
   * - `ahead`: one step newer, and made so that this broker still works on it.
   * - `behind`: migrations are missing (`mayfly migrate`).
   * - `too_new`: a newer broker has migrated it; this one must not touch it.
   */
  readonly fit: 'current' | 'ahead' | 'behind' | 'too_new';
  /** Highest step that is applied; 0: none. */
  readonly version: number;
  readonly known: number;
  /** For people: what is wrong and what to do. Empty where nothing is wrong. */
  readonly detail: string;
};

/** Steps that a schema may be ahead of a broker: replicas are replaced one after the other. */
const STEPS_AHEAD_MAX = 1;

/** Judges a schema by its highest step and by the strictest `minReader` of all steps applied. */
export function judgeSchema(
  version: number,
  minReader: number,
  known = KNOWN_VERSION,
): SchemaState {
  if (version === known) return { fit: 'current', version, known, detail: '' };
  if (version < known) {
    const detail = `The ledger's schema is at step ${version}, this version needs ${known}. Run: mayfly migrate`;
    return { fit: 'behind', version, known, detail };
  }
  if (version - known <= STEPS_AHEAD_MAX && minReader <= known) {
    const detail = `The ledger's schema is at step ${version}, one ahead of this version.`;
    return { fit: 'ahead', version, known, detail };
  }
  const detail =
    `The ledger's schema is at step ${version}; this version knows ${known} steps and must not ` +
    'work on it. Run the version of Mayfly that migrated it, or a newer one.';
  return { fit: 'too_new', version, known, detail };
}
