import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { Lease } from '../lease.ts';
import type { Death } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/**
 * One statement for all. The claim passes to this replica, since who saw the death settles next,
 * unless it has more to end and leaves settling to whoever is free. Rows are locked in the order of their ids, as everywhere, so that two batches cannot wait for each other.
 */
export async function recordDeaths(
  ledger: LedgerDatabase,
  deaths: readonly Death[],
  settledBy: 'us' | 'anyone' = 'us',
): Promise<readonly Lease[]> {
  if (deaths.length === 0) return [];
  const owner = settledBy === 'us' ? ledger.replica : null;
  const { rows } = await sql<LeaseRow>`
    with death as (
      select * from jsonb_to_recordset(${JSON.stringify(deaths.map(deathRow))}::jsonb) as death (
        id uuid, evidence jsonb, revocability text, revocability_reason text, residue text,
        target_oid bigint, body text)
    ), dying as (
      select death.* from death join mayfly.lease as l on l.id = death.id
      where l.state = 'revoking' order by l.id for update of l
    ), ${clockAfter('dying')}, dead as (
      update mayfly.lease as l set
        state = 'revoked', revoked_at = clock.now, evidence = d.evidence,
        revocability = d.revocability, revocability_reason = d.revocability_reason,
        residue = d.residue,
        residue_since = case when d.residue is not null then clock.now end,
        target_oid = coalesce(d.target_oid, l.target_oid),
        attempts = 0, next_attempt_at = clock.now, late_reason = null,
        claim_owner = ${owner},
        claim_until = case when ${owner}::text is not null
          then clock.now + make_interval(secs => ${ledger.claimSeconds}) end
      from dying as d, clock
      where l.id = d.id
      returning ${leaseColumns('l')}, d.body
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.revoked', d.agent_id, d.task_id, d.id,
        d.body
      from dead as d, clock
    )
    select ${leaseColumns('dead')} from dead order by id`.execute(ledger.db);
  return rows.map(leaseFromRow);
}

function deathRow(death: Death): Record<string, unknown> {
  const facts = {
    evidence: death.evidence,
    residue: death.residue,
    revocability: death.revocability,
    revocability_reason: death.revocabilityReason,
    target_oid: death.targetOid,
  };
  return { ...facts, id: death.leaseId, body: canonicalJson(facts) };
}
