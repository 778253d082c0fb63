import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { PolicyEngine } from '../../src/policy/decision.ts';
import { simulatedCatalogue, SCOPES, TARGETS } from './catalogue.ts';
import { Checks } from './checks.ts';
import type { Violation } from './checks.ts';
import { Faults } from './faults.ts';
import type { Clocks } from './faults.ts';
import { Holders } from './holders.ts';
import { LedgerServer } from './ledger-server.ts';
import { ModelBackend } from './models/backend-model.ts';
import type { MintFate, TargetLink } from './models/backend-model.ts';
import { ModelLedger } from './models/ledger-model.ts';
import { ModelTarget } from './models/target-model.ts';
import { Monitor } from './monitor.ts';
import { Network, Process, Server } from './network.ts';
import { drawProfile } from './profile.ts';
import type { Profile } from './profile.ts';
import { Random } from './random.ts';
import { remains } from './rest.ts';
import { startReplica, tokenAuthenticator } from './replica.ts';
import type { Replica, Surroundings, TargetPlace } from './replica.ts';
import { EPOCH_MS, VirtualTime } from './virtual-time.ts';

const INSTALLATION = 's1mv';
/** Milliseconds between two passes of the sweep, and passes in a row while there is more. */
const SWEEP_EVERY_MS = 1_000;
const PASSES_IN_A_ROW = 100;
const STUCK_AFTER_MS = 60_000;
/** Milliseconds that OpenBao waits for a target. */
const BACKEND_PATIENCE_MS = 5_000;
/** Milliseconds of quiet in which everything must come to rest at the end. */
const QUIET_MS = 1_500_000;
/** Lines of the trace that a report shows. */
const TRACE_LINES = 400;

export type Run = {
  readonly seed: number;
  readonly violations: readonly (Violation & { readonly atMs: number })[];
  readonly steps: number;
  readonly virtualMs: number;
  readonly profile: Profile;
  readonly answers: ReadonlyMap<string, number>;
  readonly faults: ReadonlyMap<string, number>;
  readonly metrics: ReadonlyMap<string, number>;
  readonly longestMs: number;
  /** The steps that name what was broken, and the last ones before it; only where it was asked for. */
  readonly trace: readonly string[];
};

/** One run of one seed. The same seed gives the same run; with `traced` it also says what happened. */
export async function simulate(seed: number, lives: number, traced = false): Promise<Run> {
  const simulation = new Simulation(seed, traced);
  return simulation.run(lives);
}

class Simulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #time = new VirtualTime();
  readonly #lines: string[] = [];
  readonly #network: Network;
  readonly #profile: Profile;
  readonly #clocks: Clocks = { ledger: 0, wall: 0, targets: new Map() };
  readonly #ledger: LedgerServer;
  readonly #backend: ModelBackend;
  readonly #backendServer = new Server('backend');
  readonly #targets = new Map<string, TargetPlace>();
  readonly #replicas: Replica[] = [];
  readonly #violations: (Violation & { atMs: number })[] = [];
  readonly #metrics = new Map<string, number>();
  readonly #surroundings: Surroundings;
  readonly #checks: Checks;
  #clockSetAtMs = -Infinity;
  #started = 0;
  #ending = false;

  constructor(seed: number, traced: boolean) {
    this.#seed = seed;
    this.#random = new Random(seed);
    const trace = (line: () => string) => {
      if (!traced || this.#violations.length > 0) return;
      this.#lines.push(`${(this.#time.nowMs / 1000).toFixed(4)} ${line()}`);
    };
    this.#network = new Network(this.#time, this.#random.fork(), trace);
    this.#profile = drawProfile(this.#random.fork());
    const model = new ModelLedger(() => this.#instant(this.#clocks.ledger), INSTALLATION);
    this.#ledger = new LedgerServer(model, new Server('ledger'), this.#network);
    for (const name of TARGETS) {
      const ahead = () => this.#clocks.targets.get(name) ?? 0;
      const trueMs = () => this.#time.nowMs;
      const target = new ModelTarget(`1/${name}`, INSTALLATION, trueMs, () => EPOCH_MS + ahead());
      this.#targets.set(name, { model: target, server: new Server(name) });
    }
    this.#backend = this.#makeBackend();
    this.#checks = new Checks({
      tables: model.tables,
      backend: this.#backend,
      targets: new Map([...this.#targets].map(([name, { model: target }]) => [name, target])),
      nowMs: () => this.#time.nowMs,
      clockSetAtMs: () => this.#clockSetAtMs,
      report: (violation) => this.#report(violation),
    });
    this.#surroundings = this.#makeSurroundings();
    if (traced) this.#traceLedger();
  }

  async run(lives: number): Promise<Run> {
    for (let n = 0; n < this.#profile.replicas; n++) this.#startReplica();
    const faults = this.#makeFaults();
    const holders = this.#makeHolders();
    const monitor = this.#makeMonitor();
    let begun = false;
    holders.start(lives, () => (begun = true));
    const broken = () => this.#violations.length > 0;
    while (!begun && !broken()) await this.#time.runUntil(this.#time.nowMs + 10_000, broken);
    await this.#time.runUntil(this.#time.nowMs + 30_000, broken);
    faults.end();
    this.#ending = true;
    const until = this.#time.nowMs + QUIET_MS;
    while (!broken() && this.#time.nowMs < until && this.#remains().length > 0) {
      await this.#time.runUntil(this.#time.nowMs + 5_000, broken);
    }
    if (!broken()) for (const violation of this.#remains()) this.#report(violation);
    monitor.stop();
    return {
      seed: this.#seed,
      violations: this.#violations,
      steps: this.#time.steps,
      virtualMs: this.#time.nowMs,
      profile: this.#profile,
      answers: holders.answers,
      faults: faults.counts,
      metrics: this.#metrics,
      longestMs: monitor.longestMs,
      trace: this.#excerpt(),
    };
  }

  #instant(aheadMs: number): Date {
    return new Date(EPOCH_MS + Math.round(this.#time.nowMs) + aheadMs);
  }

  #report(violation: Violation): void {
    this.#violations.push({ ...violation, atMs: this.#time.nowMs });
  }

  #makeBackend(): ModelBackend {
    const random = this.#random.fork();
    return new ModelBackend({
      pace: {
        nowMs: () => EPOCH_MS + this.#time.nowMs,
        after: (ms, run) => void this.#time.after(ms, run),
      },
      roles: SCOPES.map(({ name, target, maxTtl }) => ({
        mount: 'agents-db',
        config: target,
        role: name,
        tokenRole: `mayfly-${name}`,
        maxTtlMs: (maxTtl + 60) * 1000,
        link: this.#link(target),
      })),
      fate: () => this.#fate(random),
      secret: () => `secret-${random.whole(0, 2 ** 32 - 1)}-${random.whole(0, 2 ** 32 - 1)}`,
    });
  }

  #fate(random: Random): MintFate {
    const { noLease, lateError, sealedWord, slowMint } = this.#profile;
    const slow = random.chance(slowMint);
    const odd = random.fraction();
    const end =
      odd < noLease
        ? 'no_lease'
        : odd < noLease + lateError
          ? 'late_error'
          : odd < noLease + lateError + sealedWord
            ? 'sealed_word'
            : 'answered';
    return {
      queueMs: slow ? random.between(500, 30_000) : random.between(0.1, 3),
      makingMs: slow ? random.between(100, 4_900) : random.between(1, 6),
      storingMs: random.between(0.1, slow ? 2_000 : 3),
      commitsWhenKilled: random.chance(0.5),
      end: this.#ending ? 'answered' : end,
    };
  }

  /** From the backend to a target: refused by one that is down, waiting for one that is frozen. */
  #link(name: string): TargetLink {
    const place = this.#targets.get(name);
    if (!place) throw new Error(`no target ${name}`);
    const { server, model } = place;
    return {
      target: model,
      reach: (heard, lost) => {
        if (server.condition === 'down') return void this.#time.after(1, lost);
        let over = false;
        const { life } = server;
        const late = this.#time.after(BACKEND_PATIENCE_MS, () => {
          over = true;
          lost();
        });
        server.whenAwake(() => {
          if (over) return;
          this.#time.cancel(late);
          if (server.life === life) heard();
          else lost();
        });
      },
    };
  }

  #makeSurroundings(): Surroundings {
    const catalogue = simulatedCatalogue();
    const guarded = new Map([...this.#targets].filter(([name]) => name !== 'legacy'));
    return {
      network: this.#network,
      random: this.#random.fork(),
      ledger: this.#ledger,
      backend: this.#backend,
      backendServer: this.#backendServer,
      guarded,
      catalogue,
      engine: permissive(),
      authenticator: tokenAuthenticator(catalogue),
      installation: INSTALLATION,
      wallAheadMs: () => this.#clocks.wall,
      onError: (replica, what, message) => this.#onError(replica, what, message),
      onMetric: (name) => this.#metrics.set(name, (this.#metrics.get(name) ?? 0) + 1),
    };
  }

  /** An error that no outage explains is a fault of ours. */
  #onError(replica: string, what: object, message: string): void {
    const problem = 'problem' in what ? what.problem : undefined;
    if (message !== 'work in the background failed') return;
    if (problem === 'LedgerUnreachable' || problem === 'TargetUnreachable') return;
    this.#report({
      invariant: 'fault',
      what: `${message}: ${JSON.stringify(what)}`,
      subject: replica,
    });
  }

  #startReplica(): void {
    const replica = startReplica(this.#surroundings, new Process(`replica-${++this.#started}`));
    this.#replicas.push(replica);
    this.#sweepOn(replica, { underWay: 0 });
    this.#reconcileOn(replica);
  }

  /** As `startSweep` does, without its timer: a pass each second, unless one is under way. */
  #sweepOn(replica: Replica, passes: { underWay: number }): void {
    const { process, broker } = replica;
    if (!process.alive) return;
    this.#network.deliver(process, () => {
      if (passes.underWay > 0 && this.#time.nowMs - passes.underWay < STUCK_AFTER_MS) return;
      passes.underWay = this.#time.nowMs;
      const turn = async () => {
        for (let n = 0; n < PASSES_IN_A_ROW; n++) if (!(await broker.sweep()).more) break;
      };
      turn().then(
        () => (passes.underWay = 0),
        (error: unknown) => {
          passes.underWay = 0;
          this.#fault('sweep', error);
        },
      );
    });
    this.#time.after(SWEEP_EVERY_MS, () => this.#sweepOn(replica, passes));
  }

  /** As `startReconciling` does: a look whether one is due, every few seconds. */
  #reconcileOn(replica: Replica): void {
    const pause = this.#random.between(2_500, 7_500);
    this.#time.after(pause, () => {
      if (!replica.process.alive) return;
      this.#network.deliver(replica.process, () => {
        const next = () => this.#reconcileOn(replica);
        replica.broker.reconcileWhenDue().then(next, (error: unknown) => {
          const passing = error instanceof LedgerUnreachable;
          if (!passing) this.#fault('reconcile', error);
          next();
        });
      });
    });
  }

  #fault(what: string, error: unknown): void {
    const words = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : '?';
    this.#report({ invariant: 'fault', what: words, subject: what });
  }

  #crash(replica: Replica): void {
    replica.process.alive = false;
    this.#replicas.splice(this.#replicas.indexOf(replica), 1);
    this.#ledger.processDied(replica.process);
    this.#time.after(this.#random.between(0, 8_000), () => this.#startReplica());
  }

  #makeFaults(): Faults {
    return new Faults({
      network: this.#network,
      random: this.#random.fork(),
      profile: this.#profile,
      ledgerServer: this.#ledger.server,
      backendServer: this.#backendServer,
      backend: this.#backend,
      targets: this.#targets,
      clocks: this.#clocks,
      replicas: () => this.#replicas,
      crash: (replica) => this.#crash(replica),
      onClockSet: () => (this.#clockSetAtMs = this.#time.nowMs),
    });
  }

  #makeHolders(): Holders {
    return new Holders({
      network: this.#network,
      random: this.#random.fork(),
      profile: this.#profile,
      checks: this.#checks,
      ledger: this.#ledger.model,
      targets: new Map([...this.#targets].map(([name, { model }]) => [name, model])),
      replicas: () => this.#replicas,
      caller: async (token) => {
        const caller = await this.#surroundings.authenticator.agent({
          reveal: () => token,
        } as never);
        if (!caller.ok) throw new Error('no caller');
        return caller.value;
      },
      onFault: (what, error) => this.#fault(what, error),
    });
  }

  #makeMonitor(): Monitor {
    return new Monitor({
      time: this.#time,
      ledger: this.#ledger,
      backend: this.#backend,
      backendServer: this.#backendServer,
      targets: this.#targets,
      replicas: () => this.#replicas,
      clockSetAtMs: () => this.#clockSetAtMs,
      report: (violation) => this.#report(violation),
    });
  }

  #remains(): readonly Violation[] {
    const guarded = [...this.#targets].flatMap(([name, { model }]) =>
      name === 'legacy' ? [] : [model],
    );
    return remains(this.#ledger.model.tables, this.#backend, guarded);
  }

  #traceLedger(): void {
    this.#ledger.model.tables.watchers.push({
      lease: (after, before) => {
        if (before?.state === after.state) return;
        const { id, state, endCause, mintOutcome, credentialName } = after;
        this.#network.trace(
          () =>
            `ledger: ${id} ${before?.state} -> ${state} ${endCause} ${mintOutcome} ${credentialName}`,
        );
      },
    });
    for (const { model } of this.#targets.values()) {
      model.watchers.push({
        made: ({ name, oid }) => this.#network.trace(() => `target: made ${name} ${oid}`),
        loggedIn: ({ name }) => this.#network.trace(() => `target: logged in ${name}`),
        closed: (name) => this.#network.trace(() => `target: closed ${name}`),
      });
    }
  }

  /** The steps of what was broken, and the last ones before it. */
  #excerpt(): readonly string[] {
    const subject = this.#violations[0]?.subject;
    if (subject === undefined) return [];
    const { tables } = this.#ledger.model;
    const lease = tables.leases.get(subject) ?? tables.leases.get(tables.byName.get(subject) ?? '');
    const words = [subject, lease?.id, lease?.credentialName, lease?.taskId].filter(
      (word) => word !== undefined,
    );
    const last = this.#lines.length - 40;
    return this.#lines
      .filter(
        (line, place) =>
          place >= last || line.includes('fault') || words.some((word) => line.includes(word)),
      )
      .slice(-TRACE_LINES);
  }
}

function permissive(): PolicyEngine {
  return {
    decide: (request) => ({
      outcome:
        request.agent.id === 'janitor' && request.scope.name === 'billing-read' ? 'deny' : 'permit',
      policyIds: ['simulated'],
      policySetHash: 'simulated',
      reasons: [],
    }),
  };
}
