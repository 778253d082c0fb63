import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { applyBackend } from '../../broker/apply-backend.ts';
import type { SecretStore } from '../../broker/backend-parts.ts';
import type { Provisioned } from '../../broker/provisioned.ts';
import { loadCatalogue } from '../../catalogue/load.ts';
import type { Catalogue } from '../../catalogue/catalogue.ts';
import { openBackend } from '../../compose-backend.ts';
import { openFolder } from '../../embedded/folder.ts';
import type { StateFolder } from '../../embedded/folder.ts';
import { systemClock } from '../../foundation/clock.ts';
import { systemIds } from '../../foundation/ids.ts';
import { createLog } from '../../foundation/log.ts';
import { SecretText } from '../../foundation/secret-text.ts';
import { secretFolder } from '../secret-folder.ts';
import { brokerSettings } from './broker-settings.ts';
import { startBroker } from './start-broker.ts';
import { startServers } from './start-servers.ts';
import type { Servers } from './start-servers.ts';
import type { BrokerOptions, BrokerProcess, OperatorGroup, World, WorldOptions } from './world.ts';

const PACKAGE_CONFIG = fileURLToPath(new URL('../../../config', import.meta.url));
const LEDGER_DATABASE = 'mayfly';

/** Who the identity provider says is in which group. */
const OPERATORS: Readonly<Record<OperatorGroup, string>> = {
  'mayfly-viewers': 'viewer',
  'mayfly-operators': 'operator',
  'mayfly-admins': 'admin',
};

/** Starts a whole world; what of it was started is stopped again when a part of it fails. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const folder = await openFolder(options.folder, systemIds(systemClock));
  const stops: (() => Promise<void>)[] = [() => folder.release()];
  const stop = async () => {
    for (const step of stops.splice(0).reverse()) await step();
  };
  try {
    const publicUrl = `http://127.0.0.1:${await folder.port('broker')}`;
    const servers = await startServers(folder, publicUrl, options);
    stops.push(() => servers.stop());
    return await inhabit({ folder, servers, publicUrl, options, stops, stop });
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

type Ground = {
  readonly folder: StateFolder;
  readonly servers: Servers;
  readonly publicUrl: string;
  readonly options: WorldOptions;
  readonly stops: (() => Promise<void>)[];
  readonly stop: () => Promise<void>;
};

async function inhabit(ground: Ground): Promise<World> {
  const { folder, servers, publicUrl, options } = ground;
  const { ledger, target, backend, identity } = servers;
  const config = options.config ?? PACKAGE_CONFIG;
  const secretsDir = folder.inside('broker-secrets');
  const admin = await adminFiles(folder, servers);
  const addresses = { DEMO_ISSUER: identity.issuer, ORDERS_PORT: String(target.port) };
  const catalogue = await readCatalogue(config, publicUrl, addresses);
  const secrets = await secretFolder(secretsDir);
  const apply = () => applyTo(servers, admin, catalogue, secrets);
  options.progress?.('Setting up ledger, target and OpenBao (mayfly backend apply)');
  const applied = await apply();
  const settings = brokerSettings({
    publicUrl,
    config,
    issuer: identity.issuer,
    ordersPort: target.port,
    backendAddress: backend.address,
    secretFile: (name) => `${secretsDir}/${name}`,
  });
  return {
    folder: folder.path,
    publicUrl,
    installation: applied.installation,
    ledger,
    target,
    backend,
    issuer: identity.issuer,
    settings,
    applied: applied.steps,
    admin: {
      ledgerUrl: admin.ledgerUrl,
      targetUrl: admin.targetUrl,
      backendToken: () => backend.current().admin.login(),
      files: { ...admin.files, secretsDir },
    },
    workloadToken: (client, asked) => identity.token(client, asked?.audience),
    operatorToken: (group) => identity.token(OPERATORS[group]),
    startBroker: brokerStarter(ground, settings),
    apply: async () => (await apply()).steps,
    stop: ground.stop,
  };
}

type AdminFiles = {
  readonly ledgerUrl: SecretText;
  readonly targetUrl: SecretText;
  readonly files: {
    readonly ledgerUrl: string;
    readonly targetUrl: string;
    readonly backendPassword: string;
  };
};

async function adminFiles(folder: StateFolder, servers: Servers): Promise<AdminFiles> {
  const url = async (part: 'ledger' | 'target', database: string) => {
    const password = (await folder.secret(`${part}-superuser`)).reveal();
    const { port } = servers[part];
    return new SecretText(`postgresql://postgres:${password}@127.0.0.1:${port}/${database}`);
  };
  // The ledger's own database is made by `apply`; the witness of the demo asks that one.
  const ledgerUrl = await url('ledger', LEDGER_DATABASE);
  const targetUrl = await url('target', 'orders');
  await folder.keepSecret('ledger-admin-url', await url('ledger', 'postgres'));
  await folder.keepSecret('target-admin-url', targetUrl);
  return {
    ledgerUrl,
    targetUrl,
    files: {
      ledgerUrl: folder.secretFile('ledger-admin-url'),
      targetUrl: folder.secretFile('target-admin-url'),
      backendPassword: servers.backend.current().admin.passwordFile,
    },
  };
}

async function readCatalogue(
  folder: string,
  publicUrl: string,
  addresses: Readonly<Record<string, string>>,
): Promise<Catalogue> {
  const resolve = (name: string) => addresses[name];
  const loaded = await loadCatalogue({ folder, settings: { publicUrl, resolve } });
  if (loaded.ok) return loaded.catalogue;
  const lines = loaded.problems.map(
    ({ file, line, field, problem, remedy }) => `${file}:${line} ${field} ${problem}. ${remedy}`,
  );
  throw new Error(`The catalogue in ${folder} is not right:\n${lines.join('\n')}`);
}

async function applyTo(
  { ledger, backend }: Servers,
  admin: AdminFiles,
  catalogue: Catalogue,
  secrets: SecretStore,
): Promise<{ readonly installation: string; readonly steps: readonly Provisioned[] }> {
  const ledgerUrl = new URL(admin.ledgerUrl.reveal());
  ledgerUrl.port = String(ledger.port);
  ledgerUrl.pathname = '/postgres';
  const open = await openBackend(
    catalogue,
    {
      ledger: { url: new SecretText(ledgerUrl.href), database: LEDGER_DATABASE },
      targets: new Map([...catalogue.targets.keys()].map((name) => [name, admin.targetUrl])),
      backend: { address: backend.address, token: await backend.current().admin.login() },
    },
    secrets,
    createLog('silent'),
  );
  try {
    const applied = await applyBackend(open.parts);
    if (applied.ok) {
      return { installation: applied.value.identity.installation, steps: applied.value.steps };
    }
    throw new Error(`${applied.failure.where}: ${applied.failure.detail}`);
  } finally {
    await open.close();
  }
}

/** The first broker has the public port; each further one a free port of its own. */
function brokerStarter(
  { folder, publicUrl, stops }: Ground,
  settings: Readonly<Record<string, string>>,
): (options?: BrokerOptions) => Promise<BrokerProcess> {
  let started = 0;
  return async (options = {}) => {
    started += 1;
    const name = `broker-${started}`;
    await mkdir(folder.inside('brokers'), { recursive: true, mode: 0o700 });
    const firstPort = Number(new URL(publicUrl).port);
    const port = options.port ?? (started === 1 ? firstPort : await folder.port(name));
    const broker = await startBroker({
      port,
      settings: { ...settings, ...options.settings },
      file: folder.inside('brokers', name),
      cwd: folder.path,
      until: options.until ?? 'ready',
    });
    stops.push(() => broker.stop());
    return broker;
  };
}
