import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { systemClock } from '../../../src/foundation/clock.ts';
import { systemIds } from '../../../src/foundation/ids.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import { startPostgres } from '../../../src/embedded/postgres.ts';
import { encodeName } from '../../../src/target/credential-name.ts';
import { connectTarget } from '../../../src/target/postgres/connect-target.ts';
import type { TargetConfig } from '../../../src/target/postgres/connect-target.ts';
import type { TargetInstallation } from '../../../src/target/postgres/installation-plan.ts';
import { installTarget } from '../../../src/target/postgres/install.ts';
import { creationStatements } from '../../../src/target/postgres/statements.ts';
import { scramVerifier } from '../../../src/target/postgres/scram.ts';
import { startDebianPostgres } from './debian-postgres.ts';

export const ids = systemIds(systemClock);
export const INSTALLATION = 'te5t';
export const DATABASE = 'orders';
export const LIMIT = 8;

export const secret = () => new SecretText(ids.password());

export type Server = {
  readonly host: string;
  readonly port: number;
  readonly superuser: SecretText;
  /** All that the server has logged. */
  log(): Promise<string>;
  /** A `pg_hba.conf` that checks nobody's password. */
  trustingHba(): Promise<string>;
  stop(): Promise<void>;
};

/** A client that does not fall over when its session is cut, as an agent's would not. */
export async function connectAs(
  server: { readonly host: string; readonly port: number },
  user: string,
  password: SecretText,
  database = DATABASE,
): Promise<pg.Client> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user,
    password: password.reveal(),
    database,
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export async function startServer(
  version: 18 | 15,
  parameters: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-target-'));
  const superuser = secret();
  const dataDir = join(folder, 'data');
  const start = version === 18 ? startPostgres : startDebianPostgres;
  const running = await start({
    dataDir,
    superuserPassword: superuser,
    durable: false,
    parameters,
  });
  return {
    host: running.host,
    port: running.port,
    superuser,
    async trustingHba() {
      // Readable for the user that Postgres runs as.
      await chmod(folder, 0o755);
      const file = join(folder, 'trusting.conf');
      await writeFile(file, 'host all all 127.0.0.1/32 trust\n', { mode: 0o644 });
      return file;
    },
    log: () => readFile(running.logFile, 'utf8'),
    async stop() {
      await running.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type World = Awaited<ReturnType<typeof buildWorld>>;

/** A target as apply leaves it: two groups, five hundred orders, and everything of Mayfly's. */
export async function buildWorld(
  server: Server,
  changes: Partial<TargetInstallation> = {},
  database = DATABASE,
) {
  const root = await connectAs(server, 'postgres', server.superuser, 'postgres');
  await root.query(`create database ${database}`);
  const admin = await connectAs(server, 'postgres', server.superuser, database);
  await admin.query(`
    do $$ begin
      create role orders_read nologin;
      create role orders_write nologin;
    exception when duplicate_object then null; end $$;
    create table public.orders (id integer primary key, amount integer not null);
    insert into public.orders select x, x * 10 from generate_series(1, 500) x;
    create schema work;
    grant usage on schema public, work to orders_read, orders_write;
    grant select on public.orders to orders_read, orders_write;
    grant insert, update, delete on public.orders to orders_write`);
  const plan: TargetInstallation = {
    installation: INSTALLATION,
    ledger: 'ledger of the tests',
    database,
    admin: { username: 'openbao_admin', password: secret() },
    guard: { username: 'mayfly_guard', password: secret() },
    prover: { username: 'mayfly_prover', password: secret() },
    groups: [
      { name: 'orders_read', connectionLimit: LIMIT },
      { name: 'orders_write', connectionLimit: LIMIT, createsIn: 'work' },
    ],
    narrowPublic: 'cluster',
    routinesOwner: 'superuser',
    ...changes,
  };
  const installed = await installTarget(admin, plan, ids);
  if (!installed.ok) throw new Error(installed.failure.detail);
  const config: TargetConfig = {
    installation: plan.installation,
    host: server.host,
    port: server.port,
    database,
    tls: 'disable',
    guard: plan.guard,
    prover: plan.prover,
    maxConnections: 4,
  };
  const access = await connectTarget(config, systemClock);
  const openbao = await connectAs(server, plan.admin.username, plan.admin.password, database);
  return {
    server,
    plan,
    config,
    access,
    /** A superuser in the target's database. */
    root: admin,
    /** The login that OpenBao has. */
    openbao,
    connect: (user: string, password: SecretText, where = database) =>
      connectAs(server, user, password, where),
    async close() {
      await access.close();
      await Promise.all([root, admin, openbao].map((client) => client.end()));
    },
  };
}

export type Credential = { readonly name: string; readonly password: SecretText };

export function newName(secondsOfLife = 300): string {
  const deadline = new Date(systemClock.now().getTime() + secondsOfLife * 1000);
  return encodeName({ installation: INSTALLATION, leaseId: ids.uuid(), deadline });
}

/** The creation statement as OpenBao fills it in: a password that is a verifier already. */
export async function creation(
  name: string,
  password: SecretText,
  group = 'orders_read',
): Promise<string> {
  const verifier = await scramVerifier(password, ids.password());
  return creationStatements(INSTALLATION, group)
    .join(';')
    .replaceAll('{{name}}', name)
    .replaceAll('{{password}}', verifier);
}

/** Mints as OpenBao does. */
export async function mint(
  world: Pick<World, 'openbao'>,
  group = 'orders_read',
  name = newName(),
): Promise<Credential> {
  const password = secret();
  await world.openbao.query(await creation(name, password, group));
  return { name, password };
}

/** What a superuser sees of a credential: its role, whether it may log in, its sessions. */
export async function seen(world: World, name: string, oid: number | null) {
  const { rows } = await world.root.query<{ role: boolean; login: boolean; sessions: number }>(
    `select exists (select from pg_roles where rolname = $1) as role,
       exists (select from pg_roles r, pg_database d where r.rolname = $1 and r.rolcanlogin
         and d.datallowconn and has_database_privilege(r.oid, d.oid, 'CONNECT')) as login,
       (select count(*)::int from pg_stat_activity
         where usesysid = $2::oid or usename = $1) as sessions`,
    [name, oid],
  );
  const [row] = rows;
  if (row === undefined) throw new Error('no row');
  return row;
}
