import type { Random } from './random.ts';
import type { Event, VirtualTime } from './virtual-time.ts';

/**
 * How a server is at the moment. `down`: killed, connections are refused. `frozen`: it takes
 * requests and works on them when it goes on. `cut`: packets between it and the replicas vanish.
 */
export type Condition = 'up' | 'down' | 'frozen' | 'cut';

/** Milliseconds that one way takes. */
type Pace = { readonly least: number; readonly most: number };
const SWIFT: Pace = { least: 0.2, most: 3 };

/** A server that replicas ask over a network: the ledger, the backend, a target. */
export class Server {
  condition: Condition = 'up';
  /** How likely an answer is lost although the call took effect. */
  lossRate = 0;
  pace: Pace = SWIFT;
  /** Counts kills: what was under way in an earlier life is gone. */
  life = 0;
  readonly name: string;
  /** A fault since somebody last looked, however short. */
  disturbed: Condition | null = null;
  /** Resets the connection of each request that is here. */
  readonly pending = new Set<() => void>();
  #waiting: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  become(condition: Condition): void {
    if (condition === 'down') {
      this.life++;
      this.#waiting = [];
      for (const reset of this.pending) reset();
      this.pending.clear();
    }
    if (condition !== 'up') this.disturbed = condition;
    this.condition = condition;
    if (condition === 'up') for (const go of this.#waiting.splice(0)) go();
  }

  /** Runs `work` now, or when a frozen server goes on; never where it is killed before. */
  whenAwake(work: () => void): void {
    if (this.condition === 'frozen') this.#waiting.push(work);
    else work();
  }

  isHealthy(): boolean {
    return this.condition === 'up' && this.lossRate === 0 && this.pace === SWIFT;
  }

  heal(): void {
    this.become('up');
    this.lossRate = 0;
    this.pace = SWIFT;
  }
}

/** One broker process, as the network sees it. */
export class Process {
  alive = true;
  pausedUntilMs = 0;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

export type Tracer = (line: () => string) => void;

/** What became of a request. `unsent`: it surely never arrived; `lost`: nobody knows. */
export type Outcome<Value> =
  | { readonly kind: 'answered'; readonly value: Value }
  | { readonly kind: 'thrown'; readonly error: unknown }
  | { readonly kind: 'unsent' | 'lost' };

export type Request<Value> = {
  readonly what: string;
  readonly detail: string;
  readonly timeoutMs: number;
  /** Works at the server, now or over some time, and answers once. */
  readonly work: (answer: (outcome: Outcome<Value>) => void) => void;
};

/** Carries requests of processes to servers in virtual time, with all that can go wrong. */
export class Network {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly trace: Tracer;

  constructor(time: VirtualTime, random: Random, trace: Tracer) {
    this.time = time;
    this.random = random;
    this.trace = trace;
  }

  /** Continues in the process: never where it died, later where it is paused. */
  deliver(process: Process, run: () => void): void {
    if (!process.alive) return;
    if (process.pausedUntilMs > this.time.nowMs) {
      this.time.at(process.pausedUntilMs, () => this.deliver(process, run));
      return;
    }
    run();
  }

  /** Never settles where the process dies before the answer. */
  send<Value>(from: Process, to: Server, request: Request<Value>): Promise<Outcome<Value>> {
    return new Promise((resolve) => {
      const call = `${from.name} ${request.what} ${request.detail}`;
      let over = false;
      const settle = (outcome: Outcome<Value>) => {
        if (over) return;
        over = true;
        this.time.cancel(timeout);
        this.deliver(from, () => {
          this.trace(() => `${call} <- ${outcome.kind}`);
          resolve(outcome);
        });
      };
      const timeout: Event = this.time.after(request.timeoutMs, () => settle({ kind: 'lost' }));
      // Packets that have left reach the server though their sender dies meanwhile, or do not.
      const hasLeft = this.random.chance(0.5);
      this.time.after(this.#oneWay(to), () => {
        if (!from.alive && !hasLeft) return;
        this.#arrive(to, request, call, settle);
      });
    });
  }

  #arrive<Value>(
    to: Server,
    request: Request<Value>,
    call: string,
    settle: (outcome: Outcome<Value>) => void,
  ): void {
    if (to.condition === 'cut') return;
    if (to.condition === 'down') {
      this.time.after(1, () => settle({ kind: 'unsent' }));
      return;
    }
    const { life } = to;
    const reset = () => this.time.after(1, () => settle({ kind: 'lost' }));
    to.pending.add(reset);
    to.whenAwake(() => {
      this.trace(() => `${call} -> ${to.name}`);
      request.work((outcome) => {
        to.pending.delete(reset);
        this.#answer(to, life, outcome, settle);
      });
    });
  }

  #answer<Value>(
    to: Server,
    life: number,
    outcome: Outcome<Value>,
    settle: (outcome: Outcome<Value>) => void,
  ): void {
    const lost = to.life !== life || this.random.chance(to.lossRate);
    this.time.after(this.#oneWay(to), () => {
      if (to.condition === 'cut') return;
      settle(lost || to.life !== life ? { kind: 'lost' } : outcome);
    });
  }

  #oneWay({ pace }: Server): number {
    return this.random.between(pace.least, pace.most);
  }
}
