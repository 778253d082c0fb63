import { parseName } from '../../../src/target/credential-name.ts';

/** A role as the target's catalogue holds it, with what its holder does to stay. */
export type ModelRole = {
  readonly name: string;
  readonly oid: number;
  readonly deadlineMs: number;
  canLogin: boolean;
  /** In its group, and so with CONNECT. */
  member: boolean;
  /** Something depends on it: it cannot be dropped. */
  pinned: boolean;
  /** Until then (true time) its own row is locked: by its holder, or a prepared transaction. */
  lockedUntilMs: number;
  /** Until then (true time) its sessions do not die of being told to. */
  stubbornUntilMs: number;
};

type NameRow = { oid: number | null; ended: boolean; making: boolean };
type Closing = 'alive' | 'nothing' | 'in_flight';
type Ended = { readonly state: 'gone' | 'disabled' | 'alive'; readonly reason: string | null };

/** Told of what happens at the target; checkers live on it. */
export type TargetWatcher = {
  readonly made?: (role: ModelRole) => void;
  readonly loggedIn?: (role: ModelRole) => void;
  /** The guard begins to end this name. */
  readonly closed?: (name: string) => void;
};

/** Why `make` refused, as the routine says it. */
export class ModelTargetRefusal extends Error {
  override readonly name = 'ModelTargetRefusal';
}

/**
 * A target with the routines that `mayfly backend apply` installs. Every method is one commit of the
 * real routine and happens at once; `finish` commits between its steps and can be stopped there.
 */
export class ModelTarget {
  readonly roles = new Map<string, ModelRole>();
  readonly sessions = new Map<number, number>();
  readonly watchers: TargetWatcher[] = [];
  readonly server: string;
  readonly #names = new Map<string, NameRow>();
  readonly #everMade = new Map<number, ModelRole>();
  readonly #installation: string;
  readonly #trueMs: () => number;
  readonly #aheadMs: () => number;
  #oids = 16_384;

  /** @param aheadMs by how much the target's clock is ahead of true time. */
  constructor(
    server: string,
    installation: string,
    trueMs: () => number,
    aheadMs: () => number = () => 0,
  ) {
    this.server = server;
    this.#installation = installation;
    this.#trueMs = trueMs;
    this.#aheadMs = aheadMs;
  }

  now(): Date {
    return new Date(this.#trueMs() + this.#aheadMs());
  }

  /** Inserts the name, uncommitted: `close` sees it as in flight. */
  beginMake(name: string): void {
    const parsed = parseName(name);
    if (parsed?.installation !== this.#installation) throw new ModelTargetRefusal('MF001');
    if (parsed.deadline <= this.now()) throw new ModelTargetRefusal('MF002');
    if (this.#names.has(name)) throw new ModelTargetRefusal('MF003');
    this.#names.set(name, { oid: null, ended: false, making: true });
  }

  /** False where the transaction had been rolled back. */
  commitMake(name: string): boolean {
    const row = this.#names.get(name);
    const parsed = parseName(name);
    if (row?.making !== true || !parsed) return false;
    const role: ModelRole = {
      name,
      oid: ++this.#oids,
      deadlineMs: parsed.deadline.getTime(),
      canLogin: true,
      member: true,
      pinned: false,
      lockedUntilMs: 0,
      stubbornUntilMs: 0,
    };
    this.#names.set(name, { oid: role.oid, ended: false, making: false });
    this.roles.set(name, role);
    this.#everMade.set(role.oid, role);
    for (const { made } of this.watchers) made?.(role);
    return true;
  }

  rollBackMake(name: string): void {
    if (this.#names.get(name)?.making === true) this.#names.delete(name);
  }

  /** The server went down: what was not committed is gone, and so is every session. */
  restart(): void {
    for (const [name, row] of this.#names) if (row.making) this.#names.delete(name);
    this.sessions.clear();
  }

  /** One login of a holder; true where it is let in. */
  login(name: string): boolean {
    const role = this.roles.get(name);
    if (!role || !canLogIn(role) || this.now().getTime() >= role.deadlineMs) return false;
    this.sessions.set(role.oid, (this.sessions.get(role.oid) ?? 0) + 1);
    for (const { loggedIn } of this.watchers) loggedIn?.(role);
    return true;
  }

  /** Whether anybody can use this name: logged in, or able to log in but for the time of day. */
  lives(name: string): boolean {
    const role = this.roles.get(name);
    const oid = role?.oid ?? this.#names.get(name)?.oid ?? undefined;
    return (role !== undefined && canLogIn(role)) || (this.sessions.get(oid ?? 0) ?? 0) > 0;
  }

  /** Everything that is logged in or could log in but for the time of day. */
  usable(): readonly ModelRole[] {
    const roles = new Set([...this.roles.values()].filter(canLogIn));
    for (const [oid, held] of this.sessions) {
      const role = this.#everMade.get(oid);
      if (held > 0 && role) roles.add(role);
    }
    return [...roles];
  }

  /** What this oid was, whether or not it is still there. */
  everMade(oid: number): ModelRole | undefined {
    return this.#everMade.get(oid);
  }

  close(name: string): Closing {
    for (const { closed } of this.watchers) closed?.(name);
    const row = this.#names.get(name);
    if (row?.making === true) return 'in_flight';
    const oid = row?.oid ?? this.roles.get(name)?.oid ?? null;
    this.#names.set(name, { oid, ended: true, making: false });
    return oid === null ? 'nothing' : 'alive';
  }

  oidOf(name: string): number | null {
    return this.#names.get(name)?.oid ?? null;
  }

  strip(name: string): void {
    const role = this.roles.get(name);
    if (role) role.member = false;
  }

  /** Ends the sessions of these oids; answers those that still have some. */
  kick(oids: readonly number[]): readonly number[] {
    return oids.filter((oid) => {
      const role = this.#everMade.get(oid);
      if ((this.sessions.get(oid) ?? 0) === 0) return false;
      if (role && role.stubbornUntilMs > this.#trueMs()) return true;
      this.sessions.delete(oid);
      return false;
    });
  }

  shut(name: string): void {
    const role = this.roles.get(name);
    if (role && !this.#isLocked(role)) role.canLogin = false;
  }

  end(name: string): Ended {
    const role = this.roles.get(name);
    if (!role) return { state: 'gone', reason: null };
    const locked = this.#isLocked(role);
    if (!locked && !role.pinned) {
      this.roles.delete(name);
      return { state: 'gone', reason: null };
    }
    const reason = locked
      ? 'canceling statement due to lock timeout'
      : 'other objects depend on it';
    return { state: canLogIn(role) ? 'alive' : 'disabled', reason };
  }

  /** OpenBao's own lease end: all within one transaction. @throws where the role stays usable. */
  revoke(name: string): void {
    if (this.close(name) === 'in_flight') throw new ModelTargetRefusal('a mint is under way');
    const oid = this.oidOf(name);
    const own = oid === null ? [] : [oid];
    this.strip(name);
    this.kick(own);
    this.shut(name);
    this.kick(own);
    const { state, reason } = this.end(name);
    this.kick(own);
    if (state === 'alive') throw new ModelTargetRefusal(`the role can still log in: ${reason}`);
  }

  /** The procedure of the same name: each `yield` is a commit. Returns its answer. */
  *finish(credentials: readonly string[], passes: number): Generator<void, FinishAnswer> {
    const names = [...new Set(credentials)].sort();
    const done = new Set<string>();
    const closings = new Map<string, Closing>();
    const ends = new Map<string, Ended>();
    let remaining: readonly number[] = [];
    const alive = () => names.filter((x) => !done.has(x) && closings.get(x) === 'alive');
    const oids = () => alive().flatMap((name) => this.oidOf(name) ?? []);
    for (let pass = 0; pass < passes && done.size < names.length; pass++) {
      for (const name of names) {
        if (closings.has(name) && closings.get(name) !== 'in_flight') continue;
        const closing = this.close(name);
        closings.set(name, closing);
        if (closing === 'nothing') done.add(name);
      }
      yield;
      for (const name of alive()) this.strip(name);
      yield;
      this.kick(oids());
      yield;
      for (const name of alive()) this.shut(name);
      yield;
      this.kick(oids());
      yield;
      for (const name of alive()) ends.set(name, this.end(name));
      yield;
      remaining = this.kick(oids());
      for (const name of alive()) {
        const kept = remaining.includes(this.oidOf(name) ?? 0);
        if (!kept && ends.get(name)?.state !== 'alive') done.add(name);
      }
    }
    return this.#answer(names, { done, closings, ends, remaining });
  }

  #answer(names: readonly string[], seen: Finished): FinishAnswer {
    return {
      now: this.now().toISOString(),
      server: this.server,
      names: names.map((name) => {
        const closing = seen.closings.get(name) ?? 'in_flight';
        const end = seen.ends.get(name);
        const oid = closing === 'in_flight' ? null : this.oidOf(name);
        const kept = oid !== null && seen.remaining.includes(oid) ? 'sessions remain' : null;
        const inFlight = 'a mint of this name is under way at the target';
        const reason = [end?.reason, kept].filter((x) => typeof x === 'string').join('; ');
        return {
          name,
          closing,
          oid,
          ended: seen.done.has(name),
          state: end?.state ?? null,
          reason: closing === 'in_flight' ? inFlight : reason || null,
        };
      }),
    };
  }

  list(): readonly ListedName[] {
    const roles = [...this.roles.values()].map((role) => ({
      credential: role.name,
      role: String(role.oid),
      can_login: canLogIn(role),
      deadline: new Date(role.deadlineMs),
      registered: true,
    }));
    const ghosts = [...this.sessions].flatMap(([oid, held]) => {
      const role = this.#everMade.get(oid);
      if (held === 0 || !role || this.roles.has(role.name)) return [];
      const { name: credential, deadlineMs } = role;
      const deadline = new Date(deadlineMs);
      return [{ credential, role: String(oid), can_login: true, deadline, registered: true }];
    });
    return [...roles, ...ghosts];
  }

  overdue(limit: number): readonly ListedName[] {
    const now = this.now();
    return this.list()
      .filter(({ deadline }) => deadline < now)
      .filter((name) => name.can_login || (this.sessions.get(Number(name.role)) ?? 0) > 0)
      .sort(
        (one, other) =>
          Number(other.can_login) - Number(one.can_login) ||
          one.deadline.getTime() - other.deadline.getTime(),
      )
      .slice(0, limit);
  }

  look(names: readonly string[], oids: readonly (number | null)[]) {
    return names.map((name, place) => {
      const oid = oids[place] ?? null;
      const byOid = oid === null ? undefined : this.#everMade.get(oid);
      const found = new Set<ModelRole>();
      for (const role of [this.roles.get(name), this.roles.get(byOid?.name ?? '')]) {
        if (role && (role.name === name || role.oid === oid)) found.add(role);
      }
      const watched = new Set([...found].map((role) => role.oid));
      if (oid !== null) watched.add(oid);
      const sessions = [...watched].reduce((sum, one) => sum + (this.sessions.get(one) ?? 0), 0);
      return {
        name,
        role_exists: found.size > 0,
        can_login: [...found].some(canLogIn),
        sessions: String(sessions),
        server: this.server,
        at: this.now(),
      };
    });
  }

  #isLocked(role: ModelRole): boolean {
    return role.lockedUntilMs > this.#trueMs();
  }
}

type Finished = {
  readonly done: ReadonlySet<string>;
  readonly closings: ReadonlyMap<string, Closing>;
  readonly ends: ReadonlyMap<string, Ended>;
  readonly remaining: readonly number[];
};

export type FinishAnswer = {
  readonly now: string;
  readonly server: string;
  readonly names: readonly object[];
};

export type ListedName = {
  readonly credential: string;
  readonly role: string;
  readonly can_login: boolean;
  readonly deadline: Date;
  readonly registered: boolean;
};

function canLogIn(role: ModelRole): boolean {
  return role.canLogin && role.member;
}
