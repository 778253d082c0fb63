import { createBackground } from './broker/background.ts';
import { createBacklog } from './broker/backlog.ts';
import { createCircuits } from './broker/circuits.ts';
import { createDenials } from './broker/denials.ts';
import type { Broker } from './broker/broker.ts';
import type { BrokerParts } from './broker/parts.ts';
import { nobodyWaiting } from './broker/waiting.ts';
import { createBroker } from './broker/create-broker.ts';
import type { Watched } from './broker/create-broker.ts';
import { announceCatalogue } from './broker/keep-catalogue.ts';
import { openLedgerWatch } from './broker/ledger-watch.ts';
import type { Catalogue, CatalogueProblem } from './catalogue/catalogue.ts';
import type { LiveCatalogue, Readied, Ready, Reloaded } from './catalogue/source.ts';
import { openLiveCatalogue } from './compose-catalogue.ts';
import { armFailPoints } from './compose-fail-points.ts';
import { openTargets } from './compose-targets.ts';
import { systemClock, within } from './foundation/clock.ts';
import { codeOf } from './foundation/failure.ts';
import { systemIds } from './foundation/ids.ts';
import { createLog } from './foundation/log.ts';
import type { Log } from './foundation/log.ts';
import { createMetrics } from './foundation/metrics.ts';
import type { Metrics } from './foundation/metrics.ts';
import { fail, succeed } from './foundation/result.ts';
import type { Result } from './foundation/result.ts';
import { createHttpServer } from './http/server.ts';
import type { HttpServer } from './http/server.ts';
import { createAuthenticator } from './identity/create-authenticator.ts';
import { migrate } from './ledger/migrate.ts';
import { connectLedger } from './ledger/postgres/connect-ledger.ts';
import type { ConnectedLedger } from './ledger/postgres/connect-ledger.ts';
import { connectBackend } from './mint/connect-backend.ts';
import type { PolicyEngine } from './policy/decision.ts';
import type { Secrets, Settings } from './settings/load-settings.ts';
import { startReconciling } from './sweep/reconciling.ts';
import { startSweep } from './sweep/sweep.ts';

/** Why a broker cannot start, for the person who starts it. */
export type StartProblem =
  | { readonly kind: 'catalogue'; readonly problems: readonly CatalogueProblem[] }
  | { readonly kind: 'ledger'; readonly sentence: string };

/** A whole broker in this process. */
export type Composition = {
  readonly broker: Broker;
  /** Listens and begins to sweep. Rejects when the address cannot be had. */
  start(): Promise<{ readonly port: number }>;
  /** Reads catalogue, policies and TLS files again: all of them or, with any problem, none. */
  reload(): Promise<Reloaded>;
  /** Refuses new work, finishes or hands over what is under way. May be called repeatedly. */
  stop(): Promise<void>;
};

const clock = systemClock;

/** Seconds after which the claims of a replica that died lapse: longer than any ending takes. */
const CLAIM_SECONDS = 20;

/** Milliseconds that a start waits for the logins at OpenBao; then they go on behind it. */
const LOGIN_WAIT_MS = 1_000;

/** Milliseconds that calls under way have, and then the work behind them, when the broker stops. */
const CALLS_GRACE_MS = 10_000;
const WORK_GRACE_MS = 10_000;
/** Milliseconds that a reload waits for the ledger: an operator waits for it. */
const ANNOUNCE_WAIT_MS = 2_000;

/**
 * Constructs every adapter and joins them: the only place that does. In this order: catalogue and
 * policies, the ledger's schema, then OpenBao's sessions and the targets, which may be out of reach
 * at a start and are tried again behind it.
 */
export async function composeBroker(
  settings: Settings,
  secrets: Secrets,
  log: Log = createLog(settings.logLevel),
): Promise<Result<Composition, StartProblem>> {
  const opened = await openLiveCatalogue({ ...settings, named: secrets.named });
  if (!opened.ok) return fail({ kind: 'catalogue', problems: opened.problems });
  for (const warning of opened.warnings) log.warn({ warning }, 'catalogue');
  const replica = systemIds(clock).uuid();
  const ledger = connectLedger({
    ...ledgerAddress(settings, secrets),
    poolSize: settings.ledger.pool,
    replica,
    claimSeconds: CLAIM_SECONDS,
    clock,
    log: log.child({ part: 'ledger' }),
  });
  const obstacle = await readyLedger(ledger, settings, secrets, log);
  if (obstacle !== undefined) {
    await ledger.close();
    return fail({ kind: 'ledger', sentence: obstacle });
  }
  return join(settings, secrets, opened.live, ledger, log);
}

type Live = LiveCatalogue<PolicyEngine>;

function ledgerAddress(settings: Settings, { ledgerUrl: url }: Secrets) {
  const { caFile } = settings.ledger;
  return { url, ...(caFile === undefined ? {} : { caFile }) };
}

/** The schema must fit before anything is asked of it; why not, as a sentence. */
async function readyLedger(
  ledger: ConnectedLedger,
  settings: Settings,
  secrets: Secrets,
  log: Log,
): Promise<string | undefined> {
  try {
    if (settings.ledger.migrateOnStart && secrets.ledgerOwnerUrl) {
      const address = ledgerAddress(settings, { ...secrets, ledgerUrl: secrets.ledgerOwnerUrl });
      await migrate(address, log);
    }
    const { fit, detail } = await ledger.schema();
    if (fit === 'ahead') log.warn({ detail }, 'ledger');
    return fit === 'current' || fit === 'ahead' ? undefined : detail;
  } catch (thrown) {
    // These errors carry their own sentences, written for people.
    return thrown instanceof Error ? thrown.message : 'The ledger cannot be reached.';
  }
}

async function join(
  settings: Settings,
  secrets: Secrets,
  live: Live,
  ledger: ConnectedLedger,
  log: Log,
): Promise<Result<Composition, StartProblem>> {
  const ids = systemIds(clock);
  const metrics = createMetrics();
  const { publicUrl } = settings;
  const installation = await ledger.installation();
  const backend = await connectBackend(settings.backend, { clock, ids, log });
  const targets = openTargets(secrets, installation, clock, log);
  const readied = await targets.ready(live.current());
  if (!readied.ok) {
    await Promise.all([backend.stop(), ledger.close()]);
    return fail({ kind: 'catalogue', problems: readied.problems });
  }
  readied.enter();
  const parts: BrokerParts = {
    installation,
    catalogue: live,
    policies: () => live.compiled(),
    authenticator: createAuthenticator({
      catalogue: live,
      publicUrl,
      clock,
      log,
      baseFolder: settings.configFolder,
    }),
    ledger,
    minter: backend.minter,
    reaper: backend.reaper,
    probe: backend.probe,
    targets,
    clock,
    ids,
    log: log.child({ part: 'broker' }),
    metrics,
    background: createBackground(clock, log),
    backlog: createBacklog(),
    denials: createDenials({ clock, log }),
    circuits: createCircuits({ clock, ids, log, metrics }),
    waiting: nobodyWaiting(clock),
  };
  const marks = backend.marks(installation);
  const watch = openLedgerWatch(parts, marks, settings.observe);
  await announced(parts, live.current().hash, log);
  const broker = brokerOf(parts, { watch, marks }, settings.faults, log);
  const closers = [() => backend.stop(), () => targets.close(), () => ledger.close()];
  // A backend that does not answer must not keep the sweep from ending what is due.
  const known = backend.start().then(() => watch.check());
  await Promise.race([known, clock.sleep(LOGIN_WAIT_MS)]);
  const announce = ({ hash }: Catalogue) => announced(parts, hash, log);
  const driven = { settings, live, log, metrics, broker, announce };
  return succeed(drive(driven, (next) => targets.ready(next), closers));
}

/** Only a test of crashes arms anything; every other broker has no fail point in its way. */
function brokerOf(
  parts: BrokerParts,
  watched: Watched,
  faults: Settings['faults'],
  log: Log,
): Broker {
  if (faults.length === 0) return createBroker(parts, watched);
  log.error({ faults }, 'FAULTS ARE ARMED: this broker harms itself, for a test of crashes');
  const armed = armFailPoints(faults);
  return armed.broker(createBroker(armed.parts(parts), watched));
}

type Driven = {
  readonly settings: Settings;
  readonly live: Live;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly broker: Broker;
  /** Before a catalogue enters into force. */
  readonly announce: (next: Catalogue) => Promise<void>;
};

/** A ledger that is out of reach holds up no reload: nothing is granted without it either. */
async function announced(parts: BrokerParts, hash: string, log: Log): Promise<void> {
  const told = announceCatalogue(parts, hash).then(() => true);
  const inTime = await within(clock, ANNOUNCE_WAIT_MS, told).catch(() => undefined);
  if (!inTime) log.warn({ catalogue: hash }, 'the ledger could not be told of the catalogue yet');
}

/** Both drivers over one broker. */
function drive(
  { settings, live, log, metrics, broker, announce }: Driven,
  readyTargets: Ready,
  closers: readonly (() => Promise<void>)[],
): Composition {
  const { publicUrl, listen } = settings;
  const server = createHttpServer({
    broker,
    publicUrl,
    limits: () => live.current().limits,
    log: log.child({ part: 'http' }),
    metrics,
    ids: systemIds(clock),
    clock,
    tls: listen.tls,
    ...(listen.trustedProxies > 0 ? { trustProxy: listen.trustedProxies } : {}),
  });
  let sweep: ReturnType<typeof startSweep> | undefined;
  let reconciling: ReturnType<typeof startReconciling> | undefined;
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await server.stop(CALLS_GRACE_MS);
    await Promise.all([sweep?.stop(), reconciling?.stop()]);
    await broker.stop(WORK_GRACE_MS);
    for (const close of closers) await close();
  };
  return {
    broker,
    async start() {
      const listening = await server.listen(listen.host, listen.port);
      const driven = { broker, metrics, clock, log: log.child({ part: 'sweep' }) };
      if (settings.sweep) sweep = startSweep(driven);
      const ids = systemIds(clock);
      reconciling = startReconciling({ ...driven, ids, reconciles: settings.sweep });
      return listening;
    },
    async reload() {
      // The certificate is opened before the targets, of which none may stay open unused.
      const reloaded = await live.reload(async (next) => {
        const certificate = await readyCertificate(server, listen.tls);
        if (!certificate.ok) return certificate;
        const targets = await readyTargets(next);
        if (!targets.ok) return targets;
        await announce(next);
        return both(certificate, targets);
      });
      metrics.catalogueReloaded(reloaded.ok ? 'ok' : 'failed');
      return reloaded;
    },
    stop: () => (stopped ??= stop()),
  };
}

async function readyCertificate(
  server: HttpServer,
  files: Settings['listen']['tls'],
): Promise<Readied> {
  try {
    return { ok: true, enter: await server.readyTls() };
  } catch (thrown) {
    const problem = `cannot be used (${codeOf(thrown) ?? 'error'})`;
    const remedy = 'Put certificate and key there, in PEM and readable for the broker.';
    const place = { file: files?.certFile ?? '', line: 1, column: 1 };
    return { ok: false, problems: [{ ...place, field: 'certificate', problem, remedy }] };
  }
}

function both(one: { enter(): void }, other: { enter(): void }): Readied {
  return {
    ok: true,
    enter: () => {
      one.enter();
      other.enter();
    },
  };
}
