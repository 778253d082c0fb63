/** What one check of the ledger saw. */
export type Finding = {
  /** Stable word for the check. */
  readonly check: string;
  readonly ok: boolean;
  /** How bad it is when it is not ok: an `error` breaks a promise of Mayfly, a `warning` may. */
  readonly severity: 'error' | 'warning';
  /** What is there, in words. */
  readonly seen: string;
  /** What to do; empty when ok. */
  readonly remedy: string;
};
