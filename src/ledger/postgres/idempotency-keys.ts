import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonicalJson } from '../../foundation/canonical-json.ts';
import type { EarlierExchange, KeyedExchange, NewLease } from '../ledger.ts';
import { clockAfter } from './clock-after.ts';
import { leaseColumns, leaseFromRow } from './lease-row.ts';
import type { LeaseRow } from './lease-row.ts';
import type { LedgerDatabase } from './ledger-database.ts';

export type EarlierRow = LeaseRow & { readonly earlier_request: Buffer };

/** What the key stands for. Under the agent's lock nobody can change it. */
export function earlierExchange(agentId: string, keySha256: Buffer): RawBuilder<EarlierRow> {
  return sql<EarlierRow>`
    select k.request_sha256 as earlier_request, ${leaseColumns('l')}
    from mayfly.idempotency_key as k join mayfly.lease as l on l.id = k.lease_id
    where k.agent_id = ${agentId} and k.key_sha256 = ${keySha256}
      and k.kept_until > mayfly.ledger_now()`;
}

export function earlierOf([row]: readonly EarlierRow[]): EarlierExchange | null {
  return row === undefined
    ? null
    : { requestSha256: row.earlier_request, lease: leaseFromRow(row) };
}

/** From now on the key stands for the admitted lease. */
export function keepKey(
  agentId: string,
  { keySha256, keptSeconds }: KeyedExchange,
  lease: NewLease,
): RawBuilder<unknown> {
  return sql`
    insert into mayfly.idempotency_key (agent_id, key_sha256, request_sha256, lease_id, kept_until)
    values (${agentId}, ${keySha256}, ${lease.requestSha256}, ${lease.id}::uuid,
      mayfly.ledger_now() + make_interval(secs => ${keptSeconds}))
    on conflict (agent_id, key_sha256) do update set request_sha256 = excluded.request_sha256,
      lease_id = excluded.lease_id, kept_until = excluded.kept_until`;
}

/** Fences what is replaced, if it may live, and claims it for this replica. */
export function supersede(
  ledger: LedgerDatabase,
  agentId: string,
  replaced: string,
  by: string,
): RawBuilder<LeaseRow> {
  const reason = 'a retry with the same Idempotency-Key replaced it';
  const body = canonicalJson({ by: `agent:${agentId}`, cause: 'superseded', replaced_by: by });
  return sql<LeaseRow>`
    with before as (
      select l.id from mayfly.lease as l
      where l.id = ${replaced}::uuid and l.state in ('minting', 'active') for update
    ), ${clockAfter('before')}, fenced as (
      update mayfly.lease as l set
        state = 'revoking', fenced_at = clock.now, end_cause = 'superseded', end_reason = ${reason},
        next_attempt_at = clock.now, claim_owner = ${ledger.replica},
        claim_until = clock.now + make_interval(secs => ${ledger.claimSeconds})
      from before as b, clock where l.id = b.id
      returning ${leaseColumns('l')}
    ), event as (
      insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      select mayfly.event_id(clock.now), clock.now, 'lease.fenced', f.agent_id, f.task_id, f.id, ${body}
      from fenced as f, clock
    )
    select ${leaseColumns('fenced')} from fenced`;
}

/** Longest past first. Rows that an exchange holds are left for the next pass. */
export async function forgetKeys(ledger: LedgerDatabase, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from mayfly.idempotency_key as k using (
      select o.agent_id, o.key_sha256 from mayfly.idempotency_key as o
      where o.kept_until <= (select mayfly.ledger_now())
      order by o.kept_until limit ${limit} for update skip locked
    ) as past
    where k.agent_id = past.agent_id and k.key_sha256 = past.key_sha256`.execute(ledger.db);
  return Number(numAffectedRows ?? 0);
}
