/**
 * What a finding means for the credentials of a target.
 * - `broken`: they cannot be made or ended as they should.
 * - `lowers`: they work, but their death is no proof: their scopes should declare `revocable`.
 * - `notice`: to be known.
 */
export type Severity = 'broken' | 'lowers' | 'notice';

/** One demand on a target, whether it is met, and what to do where it is not. */
export type Finding = {
  readonly check: string;
  readonly ok: boolean;
  readonly severity: Severity;
  /** What was seen; for a met demand, what that means. */
  readonly seen: string;
  /** What to do; for a met demand, empty. */
  readonly remedy: string;
};

/** A demand that the target's catalogue answers. */
export type CatalogueCheck = {
  readonly check: string;
  readonly severity: Severity;
  /** Rows with `seen`, one for each fault; none: the demand is met. Any login may run it. */
  readonly faults: string;
  readonly met: string;
  readonly remedy: string;
};
