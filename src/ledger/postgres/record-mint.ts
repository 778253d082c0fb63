import { sql } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { EndCause, Lease } from '../lease.ts';
import type { LeaseState } from '../lease-states.ts';
import type { MintRecord } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';
import { readLease } from './read-records.ts';

type Step = { readonly state: LeaseState; readonly event: string };

/** Where a lease that is still `minting` goes by the outcome of its mint. */
const STEPS: Readonly<Record<MintRecord['outcome'], Step>> = {
  minted: { state: 'active', event: 'lease.activated' },
  refused: { state: 'abandoned', event: 'lease.abandoned' },
  unsent: { state: 'abandoned', event: 'lease.abandoned' },
  unknown: { state: 'revoking', event: 'lease.fenced' },
};

/**
 * One statement. The lease is read under its lock (`before`), so that whoever else moved it
 * meanwhile is seen, and so is a stop that selects it: it is fenced instead of activated.
 * `unknown` is the only outcome that a later one replaces.
 */
export async function recordMint(ledger: LedgerDatabase, record: MintRecord): Promise<Lease> {
  if (record.outcome === 'minted' && !(record.backendLeaseId && record.credentialSha256)) {
    throw new TypeError('a minted credential has a backend lease id and a hash (I1)');
  }
  const step = STEPS[record.outcome];
  // Only what would become active can be stopped; normally there is no stop to look at.
  const stop =
    step.state === 'active'
      ? sql`(select s.reason from mayfly.stop as s where mayfly.stop_selects(s, l) limit 1)`
      : sql`null::text`;
  const { rows } = await sql<LeaseRow>`
    with before as (
      select ${READ_UNDER_LOCK}, l.mint_outcome is null or l.mint_outcome = 'unknown' as open_outcome,
        ${stop} as stopped_for
      from mayfly.lease as l where l.id = ${record.leaseId} for update
    ), ${clockAfter('before')}, after as (
      update mayfly.lease as l set
        state = case when b.state <> 'minting' then b.state
          when b.stopped_for is not null then 'revoking' else ${step.state} end,
        mint_ended_at = coalesce(b.mint_ended_at, clock.now),
        mint_outcome = case when b.open_outcome then ${record.outcome} else b.mint_outcome end,
        backend_lease_id = coalesce(b.backend_lease_id, ${record.backendLeaseId}),
        credential_sha256 = coalesce(l.credential_sha256, ${record.credentialSha256}::bytea),
        activated_at = case
          when b.state = 'minting' and ${step.state} = 'active' and b.stopped_for is null
          then clock.now else b.activated_at end,
        fenced_at = case
          when b.state = 'minting' and (${step.state} = 'revoking' or b.stopped_for is not null)
          then clock.now else b.fenced_at end,
        end_cause = case when b.state <> 'minting' then b.end_cause
          when b.stopped_for is not null then 'revocation'
          when ${step.state} = 'revoking' then 'mint_unknown' end,
        end_reason = case when b.state = 'minting' then b.stopped_for else b.end_reason end,
        next_attempt_at = case
          when b.state = 'minting' and (${step.state} = 'revoking' or b.stopped_for is not null)
          then clock.now else b.next_attempt_at end,
        claim_owner = case when b.state = 'minting' then null else b.claim_owner end,
        claim_until = case when b.state = 'minting' then null else b.claim_until end
      from before as b, clock
      where l.id = b.id and (b.state = 'minting' or b.open_outcome)
      returning ${leaseColumns('l')}, b.state as state_before, b.stopped_for
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now,
        case when a.state_before <> 'minting' then 'lease.mint_ended'
          when a.stopped_for is not null then 'lease.fenced' else ${step.event} end,
        a.agent_id, a.task_id, a.id,
        case when a.stopped_for is not null then ${mintBody(record, 'revocation')}
          else ${mintBody(record, step.state === 'revoking' ? 'mint_unknown' : undefined)} end
      from after as a, clock
    )
    select ${leaseColumns('after')} from after`.execute(ledger.db);
  const [row] = rows;
  if (row !== undefined) return leaseFromRow(row);
  // Recorded before, and nothing was to be changed.
  const lease = await readLease(ledger, record.leaseId);
  if (lease === null) throw new Error('a mint was recorded for a lease that does not exist');
  return lease;
}

/** What the step depends on; the whole row, three dozen columns, would be carried along for nothing. */
const READ_UNDER_LOCK = sql.raw(
  [
    'id',
    'state',
    'mint_ended_at',
    'mint_outcome',
    'backend_lease_id',
    'activated_at',
    'fenced_at',
    'end_cause',
    'end_reason',
    'next_attempt_at',
    'claim_owner',
    'claim_until',
  ]
    .map((column) => `l.${column}`)
    .join(', '),
);

function mintBody(record: MintRecord, cause: EndCause | undefined): string {
  return canonicalJson({
    backend_lease_id: record.backendLeaseId,
    cause,
    credential_sha256: record.credentialSha256?.toString('hex') ?? null,
    outcome: record.outcome,
  });
}
