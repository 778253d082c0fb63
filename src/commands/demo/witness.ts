import pg from 'pg';
import type { SecretText } from '../../foundation/secret-text.ts';
import type { World } from './world.ts';

/** What the demo's own administrators see: not Mayfly's word, but the servers'. */
export type Witness = {
  /** The role at the target by this name, asked of `pg_roles`. */
  role(name: string): Promise<{ readonly oid: number; readonly canLogin: boolean } | undefined>;
  /** The target's clock and whether the role is still there, in one look. */
  roleAt(name: string): Promise<{ readonly at: Date; readonly exists: boolean }>;
  /** Open sessions of this role. */
  sessions(name: string): Promise<number>;
  /** How many roles of this installation the target has. */
  credentials(): Promise<number>;
  /** Whether OpenBao knows the lease. */
  backendKnows(backendLeaseId: string): Promise<boolean>;
  /** How many leases OpenBao holds for these roles of the demo's mount. */
  backendLeases(): Promise<number>;
  /** The policies that decided, as the ledger's audit event of this decision says. */
  decidingPolicies(decisionId: string): Promise<readonly string[]>;
  close(): Promise<void>;
};

/** The mount and roles of the example catalogue. */
const MOUNT = 'mayfly-orders';
const ROLES = ['orders-read', 'orders-write'];

export async function openWitness(world: World): Promise<Witness> {
  const target = await connected(world.admin.targetUrl);
  const ledger = await connected(world.admin.ledgerUrl);
  const token = await world.admin.backendToken();
  const ask = (path: string, body?: object) => askBackend(world.backend.address, token, path, body);
  return {
    async role(name) {
      const { rows } = await target.query<{ oid: number; rolcanlogin: boolean }>(
        'select oid::int8::int as oid, rolcanlogin from pg_roles where rolname = $1',
        [name],
      );
      const [row] = rows;
      return row && { oid: row.oid, canLogin: row.rolcanlogin };
    },
    async roleAt(name) {
      const { rows } = await target.query<{ at: Date; exists: boolean }>(
        `select clock_timestamp() as at,
           exists (select from pg_roles where rolname = $1) as exists`,
        [name],
      );
      return rows[0] ?? { at: new Date(NaN), exists: true };
    },
    sessions: (name) =>
      count(target, 'select count(*) from pg_stat_activity where usename = $1', [name]),
    credentials: () =>
      count(target, 'select count(*) from pg_roles where starts_with(rolname, $1)', [
        `m${world.installation}-`,
      ]),
    async backendKnows(lease_id) {
      const { status } = await ask('sys/leases/lookup', { lease_id });
      if (status === 200) return true;
      if (status === 400) return false;
      throw new Error(`OpenBao answered ${status}`);
    },
    async backendLeases() {
      const counts = await Promise.all(ROLES.map((role) => leasesOf(ask, role)));
      return counts.reduce((sum, some) => sum + some, 0);
    },
    async decidingPolicies(decisionId) {
      const { rows } = await ledger.query<{ body: string }>(
        'select body from mayfly.audit_event where id = $1',
        [decisionId],
      );
      return rows.flatMap(
        ({ body }) => (JSON.parse(body) as { policies?: string[] }).policies ?? [],
      );
    },
    close: async () => {
      await Promise.all([target.end(), ledger.end()]);
    },
  };
}

async function connected(url: SecretText): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url.reveal() });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function count(client: pg.Client, sql: string, values: string[]): Promise<number> {
  const { rows } = await client.query<{ count: string }>(sql, values);
  return Number(rows[0]?.count);
}

type Answer = { readonly status: number; readonly body: unknown };
type Ask = (path: string, body?: object) => Promise<Answer>;

async function leasesOf(ask: Ask, role: string): Promise<number> {
  const { status, body } = await ask(`sys/leases/lookup/${MOUNT}/creds/${role}/?list=true`);
  // An empty list is a 404 to OpenBao.
  if (status === 404) return 0;
  if (status !== 200) throw new Error(`OpenBao answered ${status}`);
  return (body as { data: { keys: readonly string[] } }).data.keys.length;
}

async function askBackend(
  address: string,
  token: SecretText,
  path: string,
  body?: object,
): Promise<Answer> {
  const response = await fetch(`${address}/v1/${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { 'x-vault-token': token.reveal() },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, body: await response.json().catch(() => undefined) };
}
