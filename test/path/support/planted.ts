import { systemClock } from '../../../src/foundation/clock.ts';
import { systemIds } from '../../../src/foundation/ids.ts';
import { encodeName } from '../../../src/target/credential-name.ts';
import { granted } from './agent.ts';
import type { PathWorld } from './path-world.ts';

const ids = systemIds(systemClock);

export type Planting = {
  readonly count: number;
  /** The agent in whose name; any name will do. */
  readonly agent: string;
  /** The target as the ledger has it. */
  readonly target: string;
  readonly deadline: Date;
};

/**
 * Many leases at once, as exchanges would have left them: a role made by the target's own `make`, and
 * a row in `active` of the same lease. Only OpenBao never heard of them, which it answers as done.
 * They are copies of one lease that a real exchange made.
 */
export type Planter = {
  /** Answers the ids of the leases. */
  plant(planting: Planting): Promise<readonly string[]>;
};

/** Each takes locks until its transaction ends, and the server has room for some 6,000. */
const MADE_AT_A_TIME = 1_000;

export async function planter(path: PathWorld, broker: string): Promise<Planter> {
  const template = await granted(broker, await path.token(), { identifier: 'template', ttl: 600 });
  const { installation } = path.world;
  return {
    async plant({ count, agent, target, deadline }) {
      const leases = Array.from({ length: count }, () => ids.uuid());
      const names = leases.map((leaseId) => encodeName({ installation, leaseId, deadline }));
      for (let from = 0; from < count; from += MADE_AT_A_TIME) {
        await path.oracle.target(
          `select mayfly_${installation}.make(x, a.rolpassword, 'orders_readers')
           from unnest($1::text[]) x, pg_authid a where a.rolname = 'mayfly_guard'`,
          [names.slice(from, from + MADE_AT_A_TIME)],
        );
      }
      await path.oracle.ledger(
        `insert into mayfly.agent (id, first_seen_at) values ($1, now()) on conflict do nothing`,
        [agent],
      );
      const [columns] = await path.oracle.ledger(
        `select string_agg(quote_ident(attname), ', ') as kept from pg_attribute
         where attrelid = 'mayfly.lease'::regclass and attnum > 0 and not attisdropped
           and attgenerated = '' and attname not in ('id', 'agent_id', 'credential_name',
             'credential_sha256', 'deadline', 'backend_lease_id', 'snapshot')`,
      );
      await path.oracle.ledger(
        `insert into mayfly.lease (id, agent_id, credential_name, credential_sha256, deadline,
           backend_lease_id, snapshot, ${String(columns?.['kept'])})
         select p.id, $4, p.name, sha256(p.name::bytea), $5,
           'mayfly-orders/creds/orders-read/' || p.id,
           jsonb_set(t.snapshot, '{target}', to_jsonb($6::text)), ${String(columns?.['kept'])
             .split(', ')
             .map((column) => `t.${column}`)
             .join(', ')}
         from unnest($2::uuid[], $3::text[]) as p (id, name), mayfly.lease t where t.id = $1`,
        [template.leaseId, leases, names, agent, deadline, target],
      );
      return leases;
    },
  };
}

/** How these leases stand, by state. */
export async function statesOf(
  path: PathWorld,
  leases: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  const rows = await path.oracle.ledger(
    'select state, count(*)::int as n from mayfly.lease where id = any($1::uuid[]) group by state',
    [leases],
  );
  return Object.fromEntries(rows.map((row) => [String(row['state']), Number(row['n'])]));
}

/** Leases whose fence, death or settling is not recorded exactly once. */
export async function notOnce(
  path: PathWorld,
  leases: readonly string[],
): Promise<readonly Record<string, unknown>[]> {
  return path.oracle.ledger(
    `select l.id, k.kind, count(e.id)::int as times from unnest($1::uuid[]) as l (id)
     cross join (values ('lease.fenced'), ('lease.revoked'), ('lease.settled')) as k (kind)
     left join mayfly.audit_event e on e.lease_id = l.id and e.kind = k.kind
     group by l.id, k.kind having count(e.id) <> 1`,
    [leases],
  );
}

/** Whole seconds from now, as a deadline. */
export function inWholeSeconds(seconds: number): Date {
  return new Date((Math.floor(Date.now() / 1000) + seconds) * 1000);
}
