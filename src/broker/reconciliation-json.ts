import type { Json } from '../foundation/canonical-json.ts';
import type { Finding, Reconciliation } from './reconciliation.ts';

/** A reconciliation as REST shows it and as the ledger keeps the last one: the same words. */
export function reconciliationJson(done: Reconciliation): { readonly [member: string]: Json } {
  return {
    dry_run: done.dryRun,
    begun_at: done.begunAt.toISOString(),
    seconds: done.seconds,
    complete: done.complete,
    before: done.before,
    after: done.after,
    within_grace: done.withinGrace,
    settled: done.settled,
    looked_at: {
      backend_leases: done.lookedAt.backendLeases,
      open_leases: done.lookedAt.openLeases,
      users: done.lookedAt.users,
    },
    findings: done.findings.map(findingJson),
    findings_left_out: done.findingsLeftOut,
    strangers: { users: done.strangers.users, names: [...done.strangers.names] },
    problems: done.problems.map(({ place, detail }) => ({ place, detail })),
  };
}

function findingJson(finding: Finding): { readonly [member: string]: Json } {
  return {
    kind: finding.kind,
    place: finding.place,
    name: finding.name,
    lease_id: finding.leaseId,
    outcome: finding.outcome,
    detail: finding.detail,
  };
}
