/** A credential that was handed out, as its holder knows it. */
export type Handed = {
  readonly uri: string;
  readonly name: string;
  readonly leaseId: string;
  readonly taskId: string;
  /** Unix milliseconds, read from the name. */
  readonly deadlineMs: number;
  /** Unix milliseconds at which a broker said that it is dead; absent: nobody said so. */
  deadSaidAtMs?: number;
};

export type Violation = { readonly at: string; readonly what: string; readonly detail: string };

/** What the whole run is judged by. */
export type RunRecord = {
  readonly handed: Handed[];
  /** Leases whose role something planted holds at the target. */
  readonly pinned: Handed[];
  readonly violations: Violation[];
  /** Login attempts with credentials that were to be dead, by outcome. */
  readonly tries: { refused: number; unreachable: number; in: number };
  readonly answers: Map<string, number>;
  violate(what: string, detail: string): void;
  answered(operation: string, status: number): void;
};

export function openRecord(): RunRecord {
  const violations: Violation[] = [];
  const answers = new Map<string, number>();
  return {
    handed: [],
    pinned: [],
    violations,
    tries: { refused: 0, unreachable: 0, in: 0 },
    answers,
    violate(what, detail) {
      violations.push({ at: new Date().toISOString(), what, detail });
      console.error(`VIOLATION: ${what}: ${detail}`);
    },
    answered(operation, status) {
      const key = `${operation} ${status === 0 ? 'no answer' : status}`;
      answers.set(key, (answers.get(key) ?? 0) + 1);
    },
  };
}

/** The deadline that a credential's name carries: the last 8 hexadecimal digits. */
export function deadlineOf(name: string): number {
  return Number.parseInt(name.slice(-8), 16) * 1000;
}
