import type { ModelBackend } from './models/backend-model.ts';
import type { Network, Server } from './network.ts';
import type { FaultKind, Profile } from './profile.ts';
import type { Random } from './random.ts';
import type { Replica, TargetPlace } from './replica.ts';

/** Milliseconds by which clocks are ahead of true time. */
export type Clocks = { ledger: number; wall: number; readonly targets: Map<string, number> };

type Struck = {
  readonly network: Network;
  readonly random: Random;
  readonly profile: Profile;
  readonly ledgerServer: Server;
  readonly backendServer: Server;
  readonly backend: ModelBackend;
  readonly targets: ReadonlyMap<string, TargetPlace>;
  readonly clocks: Clocks;
  readonly replicas: () => readonly Replica[];
  readonly crash: (replica: Replica) => void;
  readonly onClockSet: () => void;
};

/** Lets things go wrong, at random and never for ever. */
export class Faults {
  readonly counts = new Map<string, number>();
  readonly #struck: Struck;
  #over = false;

  constructor(struck: Struck) {
    this.#struck = struck;
    if (Number.isFinite(struck.profile.faultPauseMs)) this.#plan();
  }

  /** Nothing fails any more, and what has failed works again. */
  end(): void {
    this.#over = true;
    const { ledgerServer, backendServer, backend, targets } = this.#struck;
    for (const server of [ledgerServer, backendServer]) server.heal();
    for (const { server } of targets.values()) server.heal();
    backend.sealed = false;
  }

  #plan(): void {
    const { network, random, profile } = this.#struck;
    network.time.after(random.between(0, 2 * profile.faultPauseMs), () => {
      if (this.#over) return;
      this.strike(random.pick(profile.faults));
      this.#plan();
    });
  }

  strike(kind: FaultKind): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.#struck.network.trace(() => `fault ${kind}`);
    const { random, ledgerServer, backendServer, targets } = this.#struck;
    const target = random.pick([...targets.entries()]);
    const [part, what] = kind.split('_');
    if (what === 'clock') return this.#setClock(part ?? '', target[0]);
    switch (part) {
      case 'crash':
      case 'pause':
        return this.#strikeReplica(part);
      case 'ledger':
        return this.#strikeServer(ledgerServer, what);
      case 'backend':
        return this.#strikeServer(backendServer, what);
      default:
        return this.#strikeServer(target[1].server, what, target[1]);
    }
  }

  #strikeReplica(what: 'crash' | 'pause'): void {
    const { network, random, replicas, crash } = this.#struck;
    const alive = replicas().filter(({ process }) => process.alive);
    if (alive.length === 0) return;
    const replica = random.pick(alive);
    if (what === 'crash') return crash(replica);
    const { process } = replica;
    process.pausedUntilMs = network.time.nowMs + random.between(100, 40_000);
  }

  #strikeServer(server: Server, what: string | undefined, place?: TargetPlace): void {
    const { network, random, backend, backendServer } = this.#struck;
    const ms = random.chance(0.7) ? random.between(50, 4_000) : random.between(4_000, 40_000);
    if (what === 'lossy') server.lossRate = random.between(0.02, 0.5);
    else if (what === 'slow') server.pace = { least: 5, most: random.between(50, 1_500) };
    else if (what === 'sealed') backend.sealed = true;
    else server.become(what as 'down' | 'frozen' | 'cut');
    if (what === 'down' && place) place.model.restart();
    if (what === 'down' && server === backendServer) backend.kill();
    network.time.after(ms, () => {
      if (what === 'sealed') backend.sealed = false;
      server.heal();
    });
  }

  #setClock(whose: string, target: string): void {
    const { random, clocks, onClockSet } = this.#struck;
    const far = random.chance(0.2) ? 300_000 : 3_000;
    const ms = random.chance(0.3) ? 0 : random.between(-far, far);
    if (whose === 'ledger') clocks.ledger = ms;
    else if (whose === 'broker') clocks.wall = ms;
    else clocks.targets.set(target, ms);
    onClockSet();
  }
}
