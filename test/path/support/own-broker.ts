import { createBacklog } from '../../../src/broker/backlog.ts';
import { createBackground } from '../../../src/broker/background.ts';
import type { Broker, ExchangeGrant, TaskEnding } from '../../../src/broker/broker.ts';
import { createCircuits } from '../../../src/broker/circuits.ts';
import { createDenials } from '../../../src/broker/denials.ts';
import { nobodyWaiting } from '../../../src/broker/waiting.ts';
import { createBroker } from '../../../src/broker/create-broker.ts';
import type { BrokerParts } from '../../../src/broker/parts.ts';
import type { Catalogue } from '../../../src/catalogue/catalogue.ts';
import { loadCatalogue } from '../../../src/catalogue/load.ts';
import { openTargets } from '../../../src/compose-targets.ts';
import { systemClock } from '../../../src/foundation/clock.ts';
import type { Clock } from '../../../src/foundation/clock.ts';
import type { Failure } from '../../../src/foundation/failure.ts';
import { systemIds } from '../../../src/foundation/ids.ts';
import { createLog } from '../../../src/foundation/log.ts';
import { createMetrics } from '../../../src/foundation/metrics.ts';
import type { Result } from '../../../src/foundation/result.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import { createAuthenticator } from '../../../src/identity/create-authenticator.ts';
import { connectLedger } from '../../../src/ledger/postgres/connect-ledger.ts';
import { connectBackend } from '../../../src/mint/connect-backend.ts';
import { compilePolicies } from '../../../src/policy/compile.ts';
import { knownNames } from '../../../src/policy/known-names.ts';
import { loadSettings } from '../../../src/settings/load-settings.ts';
import type { Settings } from '../../../src/settings/load-settings.ts';
import type { Wanted } from './agent.ts';
import type { PathWorld } from './path-world.ts';

/** A broker in the test's own process, over the world's real parts; it sweeps when it is told to. */
export type OwnBroker = {
  readonly broker: Broker;
  readonly parts: BrokerParts;
  /** One exchange of `invoice-reconciler`, for `orders-read` unless it says otherwise. */
  exchange(wanted: Wanted): Promise<Result<ExchangeGrant, Failure>>;
  /** An exchange that must succeed. */
  granted(wanted: Wanted): Promise<ExchangeGrant>;
  complete(taskId: string, waitSeconds: number): Promise<Result<TaskEnding, Failure>>;
  /** The value of a metric without labels. */
  metric(name: string): Promise<number>;
  close(): Promise<void>;
};

/** @param around wraps real parts, for what cannot be timed from outside */
export async function ownBroker(
  path: PathWorld,
  around: (parts: BrokerParts) => Partial<BrokerParts> = () => ({}),
  options: { readonly clock?: Clock; readonly backendUrl?: string } = {},
): Promise<OwnBroker> {
  const { parts, close } = await realParts(path, options);
  const broker = createBroker({ ...parts, ...around(parts) });
  const exchange = async (wanted: Wanted) => broker.exchange(requestOf(await path.token(), wanted));
  return {
    broker,
    parts,
    exchange,
    granted: async (wanted) => value(await exchange(wanted)),
    complete: async (taskId, waitSeconds) => {
      const caller = value(await parts.authenticator.agent(new SecretText(await path.token())));
      return broker.completeTask(caller, taskId, { outcome: 'succeeded', note: null }, waitSeconds);
    },
    metric: async (name) => {
      const { body } = await parts.metrics.render();
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body)?.[1]);
    },
    close: async () => {
      await broker.stop(5_000);
      await close();
    },
  };
}

function value<Value>(result: Result<Value, Failure>): Value {
  if (!result.ok) throw new Error(result.failure.detail);
  return result.value;
}

function requestOf(token: string, wanted: Wanted) {
  return {
    subjectToken: new SecretText(token),
    actorToken: null,
    scope: wanted.scope ?? 'orders-read',
    authorizationDetails: JSON.stringify([
      {
        type: 'agent_task',
        task_type: wanted.taskType ?? 'reconcile-invoice',
        identifier: wanted.identifier,
        ...wanted.details,
      },
    ]),
    taskUrns: [],
    idempotencyKey: null,
    ttlSeconds: wanted.ttl ?? null,
  };
}

async function realParts(
  path: PathWorld,
  options: { readonly clock?: Clock; readonly backendUrl?: string },
): Promise<{ readonly parts: BrokerParts; readonly close: () => Promise<void> }> {
  const loaded = loadSettings({ ...path.world.settings, MAYFLY_LISTEN_PORT: '0' });
  if (!loaded.ok) throw new Error(loaded.failure.map(({ name }) => name).join(', '));
  const { settings, secrets } = loaded.value;
  const clock = options.clock ?? systemClock;
  const ids = systemIds(systemClock);
  const log = createLog('silent');
  const catalogue = await catalogueOf(settings);
  const compiled = compilePolicies(catalogue.policies, knownNames(catalogue));
  if (!compiled.ok) throw new Error('the policies are not right');
  const ledger = connectLedger({
    url: secrets.ledgerUrl,
    poolSize: settings.ledger.pool,
    replica: ids.uuid(),
    claimSeconds: 20,
    clock: systemClock,
    log,
  });
  const { installation } = path.world;
  const address = options.backendUrl ?? settings.backend.address;
  const backend = await connectBackend(
    { ...settings.backend, address },
    { clock: systemClock, ids, log },
  );
  await backend.start();
  const targets = openTargets(secrets, installation, systemClock, log);
  const readied = await targets.ready(catalogue);
  if (!readied.ok) throw new Error('the targets cannot be opened');
  readied.enter();
  const metrics = createMetrics();
  const source = { current: () => catalogue };
  const parts: BrokerParts = {
    installation,
    catalogue: source,
    policies: () => compiled.engine,
    authenticator: createAuthenticator({
      catalogue: source,
      publicUrl: settings.publicUrl,
      clock: systemClock,
    }),
    ledger,
    minter: backend.minter,
    reaper: backend.reaper,
    probe: backend.probe,
    targets,
    backlog: createBacklog(),
    denials: createDenials({ clock, log }),
    circuits: createCircuits({ clock, ids, log, metrics }),
    waiting: nobodyWaiting(clock),
    clock,
    ids,
    log,
    metrics,
    background: createBackground(clock, log),
  };
  const close = async () => {
    await Promise.all([backend.stop(), targets.close(), ledger.close()]);
  };
  return { parts, close };
}

async function catalogueOf({ configFolder, publicUrl, addresses }: Settings): Promise<Catalogue> {
  const resolve = (name: string) => addresses.get(name);
  const loaded = await loadCatalogue({ folder: configFolder, settings: { publicUrl, resolve } });
  if (!loaded.ok) throw new Error('the catalogue is not right');
  return loaded.catalogue;
}
