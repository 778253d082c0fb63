import pg from 'pg';
import type { World } from '../../dist/commands/demo/world.js';

/** A name as the target knows it, and how alive it is. */
export type Seen = {
  readonly name: string;
  readonly oid: number;
  readonly canLogin: boolean;
  readonly sessions: number;
  /** Milliseconds by the target's own clock; negative: its deadline is still ahead. */
  readonly pastDeadlineMs: number;
};

export type LedgerRow = {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly backendLeaseId: string | null;
  readonly residue: boolean;
  readonly lateReason: string | null;
  /** Seconds since it was opened, by the ledger's clock. */
  readonly ageSeconds: number;
};

/** The three books, read with none of the broker's code: SQL and HTTP, past every link. */
export type Oracle = {
  /** Rejects while the target is out of reach. */
  target(): Promise<{
    readonly roles: readonly Seen[];
    readonly orphanSessions: readonly number[];
  }>;
  /** Leases that are not over: live ones, unsettled ones, and those with residue. */
  openLeases(): Promise<readonly LedgerRow[]>;
  /** Of these names, those whose lease the ledger calls dead (without residue), with its id. */
  deadAmong(names: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Of these names, those that the ledger never heard of. */
  unheardOf(names: readonly string[]): Promise<readonly string[]>;
  leasesOpened(): Promise<number>;
  backendLeases(): Promise<readonly string[]>;
  /** One call to OpenBao as its administrator, or with another token. */
  backend(
    method: string,
    path: string,
    body?: object | null,
    token?: string,
  ): Promise<Readonly<Record<string, unknown>>>;
  /** As superuser of the target, for what is planted there. */
  sql(database: string, text: string): Promise<void>;
  ledger<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
};

const ROLES = ['orders-read', 'orders-write'];
const TIMEOUT_MS = 5_000;

const SEEN = `
  select r.rolname as name, r.oid::bigint::int as oid, r.rolcanlogin as "canLogin",
    (select count(*) from pg_stat_activity a where a.usesysid = r.oid)::int as sessions,
    (extract(epoch from clock_timestamp()) * 1000)::float8
      - ('x' || right(r.rolname, 8))::bit(32)::bigint * 1000 as "pastDeadlineMs"
  from pg_roles r where r.rolname like $1 and length(r.rolname) = 41`;

const ORPHAN_SESSIONS = `
  select distinct a.usesysid::bigint::int as oid from pg_stat_activity a
  where a.usesysid is not null and not exists (select from pg_roles r where r.oid = a.usesysid)`;

const OPEN = `
  select id, credential_name as name, state, backend_lease_id as "backendLeaseId",
    residue is not null as residue, late_reason as "lateReason",
    extract(epoch from clock_timestamp() - created_at)::float8 as "ageSeconds"
  from mayfly.lease
  where state in ('minting', 'active', 'revoking', 'revoked') or residue is not null`;

export function openOracle(world: World): Oracle {
  const ledger = pool(world.admin.ledgerUrl.reveal());
  const target = pool(world.admin.targetUrl.reveal());
  const pattern = `m${world.installation}-%`;
  return {
    async target() {
      const roles = await target.query<Seen>(SEEN, [pattern]);
      const orphans = await target.query<{ oid: number }>(ORPHAN_SESSIONS);
      return { roles: roles.rows, orphanSessions: orphans.rows.map(({ oid }) => oid) };
    },
    openLeases: async () => (await ledger.query<LedgerRow>(OPEN)).rows,
    async deadAmong(names) {
      const { rows } = await ledger.query<{ name: string; id: string }>(
        `select credential_name as name, id from mayfly.lease
         where credential_name = any ($1) and state in ('revoked', 'settled', 'abandoned')
           and residue is null`,
        [names],
      );
      return new Map(rows.map(({ name, id }) => [name, id]));
    },
    async unheardOf(names) {
      const { rows } = await ledger.query<{ name: string }>(
        'select credential_name as name from mayfly.lease where credential_name = any ($1)',
        [names],
      );
      const known = new Set(rows.map(({ name }) => name));
      return names.filter((name) => !known.has(name));
    },
    async leasesOpened() {
      const { rows } = await ledger.query<{ n: number }>(
        'select count(*)::int as n from mayfly.lease',
      );
      return rows[0]?.n ?? 0;
    },
    backendLeases: () => listLeases(world),
    backend: (...asked) => askBackend(world, ...asked),
    async sql(database, text) {
      const url = new URL(world.admin.targetUrl.reveal());
      url.pathname = `/${database}`;
      const client = new pg.Client({
        connectionString: url.href,
        connectionTimeoutMillis: TIMEOUT_MS,
        query_timeout: TIMEOUT_MS,
      });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.query(text);
      } finally {
        await client.end().catch(() => undefined);
      }
    },
    ledger: async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
      (await ledger.query<Row>(text, values)).rows,
    close: async () => {
      await Promise.all([ledger.end(), target.end()]);
    },
  };
}

async function askBackend(
  world: World,
  method: string,
  path: string,
  body: object | null = null,
  token?: string,
): Promise<Readonly<Record<string, unknown>>> {
  const bearer = token ?? (await world.admin.backendToken()).reveal();
  const answer = await fetch(`${world.backend.address}/v1/${path}`, {
    method,
    headers: { 'x-vault-token': bearer },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body === null ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

/** OpenBao's own list, over HTTP, as its administrator. */
async function listLeases(world: World): Promise<readonly string[]> {
  const token = (await world.admin.backendToken()).reveal();
  const lists = await Promise.all(
    ROLES.map(async (role) => {
      const prefix = `mayfly-orders/creds/${role}`;
      const answer = await fetch(
        `${world.backend.address}/v1/sys/leases/lookup/${prefix}/?list=true`,
        { headers: { 'x-vault-token': token }, signal: AbortSignal.timeout(TIMEOUT_MS) },
      );
      if (answer.status === 404) return [];
      if (answer.status !== 200) throw new Error(`OpenBao answered ${answer.status} to LIST`);
      const { data } = (await answer.json()) as { data: { keys: string[] } };
      return data.keys.map((key) => `${prefix}/${key}`);
    }),
  );
  return lists.flat();
}

function pool(connectionString: string): pg.Pool {
  const made = new pg.Pool({
    connectionString,
    max: 3,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
  });
  // Servers are killed on purpose; a query that needs one will say so.
  made.on('error', () => undefined);
  return made;
}
