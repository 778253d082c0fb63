/** What one check of `mayfly doctor` saw. */
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

export function fine(check: string, seen: string): Finding {
  return { check, ok: true, severity: 'warning', seen, remedy: '' };
}

export function wrong(check: string, seen: string, remedy: string): Finding {
  return { check, ok: false, severity: 'error', seen, remedy };
}

export function doubtful(check: string, seen: string, remedy: string): Finding {
  return { check, ok: false, severity: 'warning', seen, remedy };
}
