import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { Scope } from '../../../src/catalogue/scope.ts';
import { Target } from '../../../src/catalogue/target.ts';
import { findBao } from '../../../src/embedded/find-bao.ts';
import { loopbackCertificates } from '../../../src/embedded/loopback-certificates.ts';
import type { TlsFiles } from '../../../src/embedded/loopback-certificates.ts';
import { startOpenBao } from '../../../src/embedded/openbao.ts';
import type { EmbeddedOpenBao } from '../../../src/embedded/openbao.ts';
import { startPostgres } from '../../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../../src/embedded/postgres.ts';
import { systemClock } from '../../../src/foundation/clock.ts';
import { systemIds } from '../../../src/foundation/ids.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import type { MintPlace } from '../../../src/mint/backend.ts';
import { connectBackend } from '../../../src/mint/connect-backend.ts';
import type { Backend, BackendConfig } from '../../../src/mint/connect-backend.ts';
import type { LoginMethod } from '../../../src/mint/login-method.ts';
import { openAdministrator } from '../../../src/mint/provision/administrator.ts';
import type { Administrator } from '../../../src/mint/provision/administrator.ts';
import { applyBackend } from '../../../src/mint/provision/apply-backend.ts';
import { issueAppRoleLogin } from '../../../src/mint/provision/approle-login.ts';
import { designBackend } from '../../../src/mint/provision/backend-design.ts';
import type { BackendDesign } from '../../../src/mint/provision/backend-design.ts';

export const INSTALLATION = 't3st';
export const PLACE: MintPlace = {
  mount: 'agents-db',
  config: 'orders',
  role: 'orders-read',
  tokenRole: 'mayfly-orders-read',
};
export const SUPERUSER_PASSWORD = new SecretText('superuser-password');
export const FIRST_ADMIN_PASSWORD = 'the-first-admin-password';

/** Plain statements: what OpenBao does is tried here, not what the target does with it. */
const STATEMENTS = {
  creation: [
    `create role "{{name}}" login password '{{password}}' valid until '{{expiration}}' in role orders_ro`,
  ],
  revocation: ['drop role if exists "{{name}}"'],
  renew: ['select 1'],
};

export type World = {
  readonly folder: string;
  readonly bao: EmbeddedOpenBao;
  readonly postgres: EmbeddedPostgres;
  readonly admin: Administrator;
  readonly adminToken: SecretText;
  readonly design: BackendDesign;
  readonly target: Target;
  readonly scope: Scope;
  readonly logins: { readonly minter: LoginMethod; readonly reaper: LoginMethod };
  /** Lines that Mayfly logged. */
  readonly logged: string[];
  superuser<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** One login with a password, closed at once; rejects when it is refused. */
  loginAtTarget(user: string, password: string): Promise<void>;
  /** Not started; stopped with the world at the latest. */
  connect(other?: Partial<BackendConfig>): Promise<Backend>;
  passwords: ReadonlyMap<string, SecretText>;
  stop(): Promise<void>;
};

type Servers = { readonly bao: EmbeddedOpenBao; readonly postgres: EmbeddedPostgres };
type Closers = (() => Promise<void> | void)[];

/** A real OpenBao and a real Postgres, provisioned by `applyBackend`. */
export async function startWorld({ tls } = { tls: false }): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-mint-'));
  const closers: Closers = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const files = tls ? await loopbackCertificates(join(folder, 'tls'), systemClock) : undefined;
    const servers = await startServers(folder, files, closers);
    return await provision(folder, servers, files, { closers, stop });
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startServers(
  folder: string,
  files: TlsFiles | undefined,
  closers: Closers,
): Promise<Servers> {
  const [bao, postgres] = await Promise.allSettled([
    startOpenBao({
      folder: join(folder, 'bao'),
      bao: await baoProgram(),
      adminPassword: new SecretText('bao-admin-password'),
      ...(files && { tls: files }),
    }),
    startPostgres({
      dataDir: join(folder, 'pg'),
      superuserPassword: SUPERUSER_PASSWORD,
      durable: false,
      ...(files && { tls: files }),
    }),
  ]);
  for (const started of [bao, postgres]) {
    if (started.status === 'fulfilled') closers.push(() => started.value.stop());
  }
  if (bao.status === 'rejected') throw bao.reason;
  if (postgres.status === 'rejected') throw postgres.reason;
  return { bao: bao.value, postgres: postgres.value };
}

async function provision(
  folder: string,
  { bao, postgres }: Servers,
  files: TlsFiles | undefined,
  { closers, stop }: { closers: Closers; stop: () => Promise<void> },
): Promise<World> {
  const pool = await targetDatabase(postgres, SUPERUSER_PASSWORD.reveal());
  closers.push(() => pool.end());
  const { scope, target } = catalogueEntries(postgres.port, files !== undefined);
  const design = designOf([scope], target, files?.caFile);
  const adminToken = await bao.admin.login();
  const admin = await openAdministrator({ address: bao.address, caFile: bao.caFile }, adminToken);
  closers.push(() => admin.close());
  const passwords = new Map([['orders', new SecretText(FIRST_ADMIN_PASSWORD)]]);
  const applied = await applyBackend(admin, design, passwords);
  if (!applied.ok) throw new Error(`${applied.failure.at}: ${applied.failure.message}`);
  const logins = {
    minter: await loginFiles(admin, folder, 'minter'),
    reaper: await loginFiles(admin, folder, 'reaper'),
  };
  const logged: string[] = [];
  return {
    ...{ folder, bao, postgres, admin, adminToken, design, target, scope, logins, logged },
    ...{ passwords, stop },
    superuser: async (sql, values) => (await pool.query(sql, [...(values ?? [])])).rows as never,
    loginAtTarget: (user, password) => loginAt(postgres, user, password),
    connect: async (other) => {
      const backend = await connectTo(bao, logins, logged, other);
      closers.push(() => backend.stop());
      return backend;
    },
  };
}

async function loginAt({ host, port }: EmbeddedPostgres, user: string, password: string) {
  const client = new pg.Client({ host, port, user, password, database: 'orders' });
  client.on('error', () => undefined);
  await client.connect();
  await client.end();
}

export function designOf(scopes: readonly Scope[], target: Target, caFile?: string): BackendDesign {
  return designBackend({
    installation: INSTALLATION,
    scopes,
    targets: new Map([[target.name, target]]),
    statements: () => STATEMENTS,
    caFileOf: () => caFile,
  });
}

function connectTo(
  bao: EmbeddedOpenBao,
  logins: World['logins'],
  logged: string[],
  other: Partial<BackendConfig> = {},
): Promise<Backend> {
  const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) });
  return connectBackend(
    { address: bao.address, caFile: bao.caFile, ...logins, ...other },
    { clock: systemClock, ids: systemIds(systemClock), log },
  );
}

export function baoProgram(): Promise<string> {
  return findBao({
    setting: process.env['MAYFLY_BAO'],
    path: process.env['PATH'],
    cache: join(process.cwd(), '.mayfly'),
    say: (line) => console.error(line),
  });
}

async function targetDatabase(postgres: EmbeddedPostgres, password: string): Promise<pg.Pool> {
  const server = { host: postgres.host, port: postgres.port, user: 'postgres', password };
  const first = new pg.Client({ ...server, database: 'postgres' });
  await first.connect();
  await first.query('create database orders');
  await first.end();
  const pool = new pg.Pool({ ...server, database: 'orders', max: 3 });
  pool.on('error', () => undefined);
  await pool.query(`create role bao_admin login createrole password '${FIRST_ADMIN_PASSWORD}'`);
  await pool.query('create role orders_ro');
  await pool.query('grant orders_ro to bao_admin with admin option');
  return pool;
}

function catalogueEntries(port: number, tls: boolean): { scope: Scope; target: Target } {
  const login = (username: string, secret: string) => ({ username, secret });
  const target = Target.parse({
    name: 'orders',
    owner: 'orders-team',
    kind: 'postgres',
    database: 'orders',
    client: { host: '127.0.0.1', port, sslmode: 'disable' },
    tls: tls ? 'verify-full' : 'disable',
    backend: { mount: 'agents-db', config: 'orders' },
    admin: { username: 'bao_admin' },
    groups: ['orders_ro'],
    guard: login('orders_guard', 'ORDERS_GUARD'),
    prover: login('orders_prover', 'ORDERS_PROVER'),
  });
  const scope = Scope.parse({
    name: 'orders-read',
    description: 'Reads orders',
    owner: 'orders-team',
    kind: 'database',
    target: 'orders',
    group: 'orders_ro',
    backend_role: 'orders-read',
    grants: { actions: ['read'], locations: ['https://db.internal.example/orders'] },
    max_ttl_seconds: 300,
    risk: 'low',
    sensitivity: 'internal',
    revocability: 'proven',
    proof: 'target',
  });
  return { scope, target };
}

export async function loginFiles(
  admin: Administrator,
  folder: string,
  identity: 'minter' | 'reaper',
): Promise<LoginMethod> {
  const login = await issueAppRoleLogin(admin, identity);
  if (!login.ok) throw new Error(login.failure.message);
  const roleIdFile = join(folder, `${identity}-role-id`);
  const secretIdFile = join(folder, `${identity}-secret-id`);
  await writeFile(roleIdFile, login.value.roleId.reveal(), { mode: 0o600 });
  await writeFile(secretIdFile, `${login.value.secretId.reveal()}\n`, { mode: 0o600 });
  return { kind: 'approle', roleIdFile, secretIdFile };
}

/** A name as the broker makes them, for a lease of our own numbering. */
export function nameOf(lease: number): string {
  return `m${INSTALLATION}-${String(lease).padStart(26, '0')}-6abc1234`;
}
