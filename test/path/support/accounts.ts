import type { PathWorld } from './path-world.ts';
import { until } from './agent.ts';

/** What a lease looks like in the ledger, by plain SQL. */
export type Row = {
  readonly id: string;
  readonly task_id: string;
  readonly state: string;
  readonly end_cause: string | null;
  readonly mint_outcome: string | null;
  readonly credential_name: string;
  readonly backend_lease_id: string | null;
  readonly late_reason: string | null;
  readonly revocability: string;
  readonly revocability_reason: string | null;
};

/** The leases of an agent's task, oldest first. */
export async function leasesOf(path: PathWorld, identifier: string): Promise<readonly Row[]> {
  return (await path.oracle.ledger(
    `select l.* from mayfly.lease l join mayfly.task t on t.id = l.task_id
     where t.identifier = $1 order by l.id`,
    [identifier],
  )) as unknown as readonly Row[];
}

/**
 * Events of decisions, each of them one exchange of a known agent (invariant I8). Of all agents where
 * none is named: the canary of the self-check is one, which comes when it likes.
 */
export async function decisions(path: PathWorld, agent: string | null = null): Promise<number> {
  const [row] = await path.oracle.ledger(
    `select count(*)::int as n from mayfly.audit_event
     where kind like 'decision.%' and agent_id = coalesce($1, agent_id)`,
    [agent],
  );
  return Number(row?.['n']);
}

/**
 * The state in which every test file must leave its world: nothing of ours at the target, every
 * lease dead in the ledger with what explains it, and exactly one permit for each.
 */
export async function allAccounted(path: PathWorld, seconds: number): Promise<void> {
  await until('no role and no session of ours at the target', seconds, async () => {
    return (await path.oracle.roles()).length === 0 && (await path.oracle.sessions()) === 0;
  });
  await until('every lease dead and explained', seconds, async () => {
    const unexplained = await path.oracle.ledger(
      `select from mayfly.lease where not (
         state in ('settled', 'abandoned')
         or (state = 'revoked' and backend_lease_id is null and late_reason is not null))`,
    );
    return unexplained.length === 0;
  });
  const twice = await path.oracle.ledger(
    `select l.id from mayfly.lease l left join mayfly.audit_event e
       on e.lease_id = l.id and e.kind = 'decision.permitted'
     group by l.id having count(e.id) <> 1`,
  );
  if (twice.length > 0) throw new Error(`${twice.length} lease(s) without exactly one permit`);
}
