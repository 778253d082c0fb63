import { FINDINGS_SHOWN } from './margins.ts';

/**
 * What a reconciliation can find, each a number that is reported for ever.
 * - `backend_lease_unknown`: OpenBao holds a lease below a mount of ours that the ledger does not
 *   know, or holds for closed.
 * - `lease_missing_in_backend`: the ledger holds a lease for active that OpenBao does not know.
 * - `user_without_lease`: a target has a user with a name of ours that no live lease has.
 */
export const FINDING_KINDS = [
  'backend_lease_unknown',
  'lease_missing_in_backend',
  'user_without_lease',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/**
 * - `would_end`: a dry run leaves it.
 * - `withheld`: not tried. Too many at once for the schedule, so that a person has to reconcile by
 *   hand; or more than one pass does; or others at its place could not be ended.
 * - `within_grace`: too young to be told from a mint under way; not counted.
 */
export type FindingOutcome = 'ended' | 'failed' | 'would_end' | 'withheld' | 'within_grace';

export type Finding = {
  readonly kind: FindingKind;
  /** The target, or mount and role. */
  readonly place: string;
  /** The backend's lease id, or the credential's name. */
  readonly name: string;
  /** The lease of the ledger that it belongs to, if there is one. */
  readonly leaseId: string | null;
  readonly outcome: FindingOutcome;
  /** Why, where the outcome does not say it. Holds no secret. */
  readonly detail: string | null;
};

export type Numbers = Readonly<Record<FindingKind, number>>;

export type Reconciliation = {
  readonly dryRun: boolean;
  /** The ledger's clock. */
  readonly begunAt: Date;
  readonly seconds: number;
  /** False where something could not be looked at: `problems` says what. */
  readonly complete: boolean;
  readonly before: Numbers;
  readonly after: Numbers;
  readonly withinGrace: number;
  /** Dead leases without a backend lease id that were settled, or in a dry run could be. */
  readonly settled: number;
  readonly lookedAt: {
    readonly backendLeases: number;
    readonly openLeases: number;
    readonly users: number;
  };
  /** The first of them; `findingsLeftOut` more are only counted. */
  readonly findings: readonly Finding[];
  readonly findingsLeftOut: number;
  /** Users of other installations at our targets: seen, never touched. */
  readonly strangers: { readonly users: number; readonly names: readonly string[] };
  readonly problems: readonly { readonly place: string; readonly detail: string }[];
};

/** What a pass gathers on its way. */
export type Tally = {
  note(finding: Finding): void;
  problem(place: string, detail: string): void;
  strangers(names: readonly string[]): void;
  settled: number;
  backendLeases: number;
  openLeases: number;
  users: number;
  summary(): Omit<Reconciliation, 'dryRun' | 'begunAt' | 'seconds'>;
};

export function createTally(): Tally {
  const before = none();
  const after = none();
  const findings: Finding[] = [];
  const problems: { place: string; detail: string }[] = [];
  const names = new Set<string>();
  let noted = 0;
  let withinGrace = 0;
  return {
    settled: 0,
    backendLeases: 0,
    openLeases: 0,
    users: 0,
    note(finding) {
      noted += 1;
      if (findings.length < FINDINGS_SHOWN) findings.push(finding);
      if (finding.outcome === 'within_grace') {
        withinGrace += 1;
        return;
      }
      before[finding.kind] += 1;
      if (finding.outcome !== 'ended') after[finding.kind] += 1;
    },
    problem: (place, detail) => void problems.push({ place, detail }),
    strangers: (seen) => seen.forEach((name) => names.add(name)),
    summary() {
      const { settled, backendLeases, openLeases, users } = this;
      return {
        complete: problems.length === 0,
        before,
        after,
        withinGrace,
        settled,
        lookedAt: { backendLeases, openLeases, users },
        findings,
        findingsLeftOut: noted - findings.length,
        strangers: { users: names.size, names: [...names].slice(0, FINDINGS_SHOWN) },
        problems,
      };
    },
  };
}

function none(): Record<FindingKind, number> {
  return { backend_lease_unknown: 0, lease_missing_in_backend: 0, user_without_lease: 0 };
}
