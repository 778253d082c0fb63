import type { Finding as LedgerFinding } from '../ledger/provision/finding.ts';
import type { Finding as BackendFinding } from '../mint/provision/finding.ts';
import type { Finding as TargetFinding } from '../target/postgres/finding.ts';

/** One thing that `mayfly doctor` looked at. */
export type Diagnosed = {
  /** The place: `ledger`, `openbao`, or `target <name>`. */
  readonly where: string;
  /** Stable word for the check. */
  readonly check: string;
  readonly ok: boolean;
  /**
   * What it means when it is not ok. `error`: a promise is broken. `lowers`: credentials of this
   * target work, but their death is `revocable` at most, not `proven`. `notice`: to be known.
   */
  readonly severity: 'error' | 'lowers' | 'notice';
  /** What was seen, in words. */
  readonly seen: string;
  /** What to do; empty when ok. */
  readonly remedy: string;
};

const SEVERITIES = {
  error: 'error',
  warning: 'notice',
  broken: 'error',
  lowers: 'lowers',
  notice: 'notice',
} as const;

/** Findings of one place, in the words of doctor. */
export function diagnosed(
  where: string,
  findings: readonly (LedgerFinding | BackendFinding | TargetFinding)[],
): readonly Diagnosed[] {
  return findings.map(({ check, ok, severity, seen, remedy }) => ({
    where,
    check,
    ok,
    severity: SEVERITIES[severity],
    seen,
    remedy,
  }));
}
