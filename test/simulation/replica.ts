import { createBackground } from '../../src/broker/background.ts';
import { createBacklog } from '../../src/broker/backlog.ts';
import { createCircuits } from '../../src/broker/circuits.ts';
import { createDenials } from '../../src/broker/denials.ts';
import type { Broker } from '../../src/broker/broker.ts';
import { nobodyWaiting } from '../../src/broker/waiting.ts';
import { createBroker } from '../../src/broker/create-broker.ts';
import type { Targets } from '../../src/broker/parts.ts';
import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import type { Clock } from '../../src/foundation/clock.ts';
import { uuidv7 } from '../../src/foundation/ids.ts';
import type { Ids } from '../../src/foundation/ids.ts';
import type { Log } from '../../src/foundation/log.ts';
import type { Metrics } from '../../src/foundation/metrics.ts';
import { succeed } from '../../src/foundation/result.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { Authenticator } from '../../src/identity/authenticator.ts';
import { openMinter } from '../../src/mint/minter.ts';
import { openReaper } from '../../src/mint/reaper.ts';
import type { PolicyEngine } from '../../src/policy/decision.ts';
import { TargetUnreachable } from '../../src/target/target-unreachable.ts';
import type { LedgerServer } from './ledger-server.ts';
import type { BackendReply, ModelBackend } from './models/backend-model.ts';
import { modelPort } from './models/backend-port.ts';
import type { CarryRequest } from './models/backend-port.ts';
import { modelAccess } from './models/target-access.ts';
import type { CarryStatement, ServerWork } from './models/target-access.ts';
import type { ModelTarget } from './models/target-model.ts';
import type { Network, Outcome, Process, Server } from './network.ts';
import type { Random } from './random.ts';
import { EPOCH_MS } from './virtual-time.ts';

/** Seconds until a claim of a replica that died lapses, as `compose.ts` has it. */
const CLAIM_SECONDS = 20;
/** Milliseconds after which a target that does not answer is given up, as its connections have it. */
const TARGET_TIMEOUT_MS = 17_000;
/** Milliseconds that a step of an ending takes at the target. */
const STEP_MS = { least: 0.1, most: 2 };

export type TargetPlace = { readonly model: ModelTarget; readonly server: Server };

/** All that replicas share. */
export type Surroundings = {
  readonly network: Network;
  readonly random: Random;
  readonly ledger: LedgerServer;
  readonly backend: ModelBackend;
  readonly backendServer: Server;
  /** Those with a guard. */
  readonly guarded: ReadonlyMap<string, TargetPlace>;
  readonly catalogue: Catalogue;
  readonly engine: PolicyEngine;
  readonly authenticator: Authenticator;
  readonly installation: string;
  /** By how much the clocks of broker machines are ahead of true time, milliseconds. */
  readonly wallAheadMs: () => number;
  /** What a replica logs as an error. */
  readonly onError: (replica: string, what: object, message: string) => void;
  readonly onMetric: (name: string) => void;
};

export type Replica = {
  readonly process: Process;
  readonly broker: Broker;
  readonly startedAtMs: number;
};

/** One broker process: the real use cases, the real minter, reaper, guard and prover over models. */
export function startReplica(around: Surroundings, process: Process): Replica {
  const { network, ledger, backend, backendServer, guarded, catalogue } = around;
  const clock = processClock(around, process);
  const metrics = processMetrics(around);
  const ids = processIds(around.random.fork(), clock);
  const log = processLog(around, process);
  const port = modelPort(backend, carryToBackend(network, process, backendServer));
  const token = new SecretText('the session of the replica');
  const session = {
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    call: (work: (held: SecretText) => ReturnType<typeof port.read>) => work(token),
    isLoggedIn: () => true,
  };
  const lanes = catalogue.limits.endings_per_target;
  const access = new Map(
    [...guarded].map(([name, place]) => [
      name,
      modelAccess(
        place.model,
        around.installation,
        lanes,
        carryToTarget(network, process, place.server),
      ),
    ]),
  );
  const targets: Targets = {
    access: (name) => access.get(name),
    names: () => [...access.keys()],
  };
  const broker = createBroker({
    installation: around.installation,
    catalogue: { current: () => catalogue },
    policies: () => around.engine,
    authenticator: around.authenticator,
    ledger: ledger.connect(process, { name: process.name, claimSeconds: CLAIM_SECONDS }),
    minter: openMinter({ port, session, clock, log }),
    reaper: openReaper({ port, session, log }),
    probe: {
      health: () => Promise.resolve({ state: 'ready', detail: '' }),
      isActive: () => Promise.resolve(true),
    },
    targets,
    clock,
    ids,
    log,
    metrics,
    background: createBackground(clock, log),
    backlog: createBacklog(),
    denials: createDenials({ clock, log }),
    circuits: createCircuits({ clock, ids, log, metrics }),
    waiting: nobodyWaiting(clock),
  });
  return { process, broker, startedAtMs: network.time.nowMs };
}

function processClock({ network, wallAheadMs }: Surroundings, process: Process): Clock {
  const { time } = network;
  return {
    now: () => new Date(EPOCH_MS + time.nowMs + wallAheadMs()),
    monotonicMs: () => time.nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const due = time.after(Math.max(0, ms), () => network.deliver(process, resolve));
        signal?.addEventListener('abort', () => {
          time.cancel(due);
          resolve();
        });
      }),
    alarm: (ms, ring) => {
      const due = time.after(Math.max(0, ms), () => network.deliver(process, ring));
      return () => time.cancel(due);
    },
  };
}

function processIds(random: Random, clock: Clock): Ids {
  return {
    uuid: () => uuidv7(clock.now().getTime(), random.bytes(10)),
    password: () => `password-${random.whole(0, 2 ** 32 - 1)}`,
    fraction: () => random.fraction(),
  };
}

/** Only what is logged as an error is looked at: it is what an operator would be called for. */
function processLog({ onError }: Surroundings, { name }: Process): Log {
  const quiet = () => undefined;
  const log = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (what: object, message: string) => onError(name, what, message),
    child: () => log,
  };
  return log as unknown as Log;
}

/** Counts calls by name, so that whatever is counted next is counted here. */
function processMetrics({ onMetric }: Surroundings): Metrics {
  return new Proxy({} as Metrics, {
    get: (_, name) => () => onMetric(String(name)),
  });
}

function carryToBackend(network: Network, process: Process, server: Server): CarryRequest {
  return async (what, detail, bounds, work) => {
    const outcome = await network.send<BackendReply>(process, server, {
      what,
      detail,
      timeoutMs: bounds.replyMs,
      work: (answer) => work((value) => answer({ kind: 'answered', value })),
    });
    if (outcome.kind === 'answered') return outcome.value;
    return outcome.kind === 'unsent' ? 'unsent' : 'no_reply';
  };
}

/** As the real connections do, it asks once more where the first answer was lost. */
function carryToTarget(network: Network, process: Process, server: Server): CarryStatement {
  const ask = (what: string, detail: string, work: () => ServerWork) =>
    network.send<readonly object[]>(process, server, {
      what: `${server.name}.${what}`,
      detail,
      timeoutMs: TARGET_TIMEOUT_MS,
      work: (answer) => runSteps(network, server, work(), answer),
    });
  return async (what, detail, work) => {
    const first = await ask(what, detail, work);
    const outcome =
      first.kind === 'lost' || first.kind === 'unsent' ? await ask(what, detail, work) : first;
    if (outcome.kind === 'answered') return outcome.value;
    if (outcome.kind === 'thrown') throw outcome.error;
    throw new TargetUnreachable(`the model's target: ${outcome.kind}`);
  };
}

/** A statement goes on at the server whatever becomes of who asked, until the server is killed. */
function runSteps(
  network: Network,
  server: Server,
  work: ServerWork,
  answer: (outcome: Outcome<readonly object[]>) => void,
): void {
  const { life } = server;
  const step = () => {
    if (server.life !== life) return;
    server.whenAwake(() => {
      const { done, value } = work.next();
      if (done === true) return answer({ kind: 'answered', value });
      network.time.after(network.random.between(STEP_MS.least, STEP_MS.most), step);
    });
  };
  step();
}

/** Tokens of agents in the simulation say who they are, and a number of their own. */
export function tokenAuthenticator(catalogue: Catalogue): Authenticator {
  const nobody = () => Promise.reject(new Error('no operator logs in by token here'));
  return {
    operator: nobody,
    agent: (token) => {
      const [agentId = '', instance = ''] = token.reveal().split('/');
      const agent = catalogue.agents.get(agentId);
      if (!agent) return Promise.reject(new Error('a token of no agent'));
      const caller = {
        kind: 'agent',
        agent,
        instance,
        token: {
          issuer: 'cluster',
          use: 'workload',
          subject: agent.identity.subject,
          claims: {},
          expiresAt: new Date(8.64e15),
          sha256: token.reveal(),
        },
        policyClaims: {},
      } as const;
      return Promise.resolve(succeed(caller));
    },
  };
}
