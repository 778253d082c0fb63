import type { ModelTarget } from './target-model.ts';

/** The time in which a backend works: virtual, or the system's. */
export type Pace = { nowMs(): number; after(ms: number, run: () => void): void };

/** How the backend reaches a target. `heard` runs when the target takes it; `lost` when it cannot. */
export type TargetLink = {
  readonly target: ModelTarget;
  reach(heard: () => void, lost: () => void): void;
};

/** What becomes of one mint, besides what its target says. Milliseconds. */
export type MintFate = {
  readonly queueMs: number;
  /** Between the first statement and the commit. */
  readonly makingMs: number;
  readonly storingMs: number;
  /** Whether the target still gets the commit of a backend that is killed meanwhile. */
  readonly commitsWhenKilled: boolean;
  /** `no_lease`: the user is made and its lease is not; `late_error`: both are, and it says 500. */
  readonly end: 'answered' | 'no_lease' | 'late_error' | 'sealed_word';
};

export type BackendReply =
  | { readonly status: number; readonly body: unknown }
  /** The connection ends without an answer. */
  | 'none';
export type Reply = (reply: BackendReply) => void;

export type ModelBackendLease = {
  readonly id: string;
  readonly name: string;
  readonly mount: string;
  readonly role: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  attempts: number;
};

type Token = { readonly name: string; readonly role: string; readonly expiresAtMs: number };
export type ModelRoleOfBackend = {
  readonly mount: string;
  readonly config: string;
  readonly role: string;
  readonly tokenRole: string;
  readonly maxTtlMs: number;
  readonly link: TargetLink;
};

/** Told when a mint request has come, before anything is made. */
export type BackendWatcher = { readonly minting?: (name: string) => void };

/** OpenBao tries an ended lease so often, the pauses doubling from the first, and then gives up. */
const EXPIRY_ATTEMPTS = 6;
const EXPIRY_PAUSE_MS = 10_000;

const ERROR = (status: number, ...errors: string[]): BackendReply => ({ status, body: { errors } });
const SEALED = ERROR(503, 'Vault is sealed');

export type BackendOptions = {
  readonly pace: Pace;
  readonly roles: readonly ModelRoleOfBackend[];
  readonly fate: () => MintFate;
  /** Makes unguessable texts. */
  readonly secret: () => string;
};

/**
 * OpenBao's database engine, batch tokens and leases, as far as Mayfly uses them. One thing at a
 * time per database config; leases end by themselves; a kill forgets what was under way.
 */
export class ModelBackend {
  readonly leases = new Map<string, ModelBackendLease>();
  /** Leases by the name of their user. */
  readonly byName = new Map<string, string>();
  readonly watchers: BackendWatcher[] = [];
  sealed = false;
  readonly #tokens = new Map<string, Token>();
  readonly #lines = new Map<string, (() => void)[]>();
  readonly #options: BackendOptions;
  #life = 0;
  #made = 0;

  constructor(options: BackendOptions) {
    this.#options = options;
  }

  /** The process ends; what it had begun is left as it is, and its tokens stay good. */
  kill(): void {
    this.#life++;
    this.#lines.clear();
  }

  makeToken(tokenRole: string, name: string, ttlSeconds: number, reply: Reply): void {
    if (this.sealed) return reply(SEALED);
    if (!this.#options.roles.some((role) => role.tokenRole === tokenRole)) {
      return reply(ERROR(400, 'unknown role'));
    }
    const { pace, secret } = this.#options;
    const token = `b.${secret()}`;
    this.#tokens.set(token, {
      name,
      role: tokenRole,
      expiresAtMs: pace.nowMs() + ttlSeconds * 1000,
    });
    const auth = { client_token: token, lease_duration: ttlSeconds, renewable: false };
    reply({ status: 200, body: { auth } });
  }

  mint(tokenText: string, mount: string, roleName: string, reply: Reply): void {
    if (this.sealed) return reply(SEALED);
    const token = this.#tokens.get(tokenText);
    const role = this.#options.roles.find((one) => one.mount === mount && one.role === roleName);
    const now = this.#options.pace.nowMs();
    if (!token || token.expiresAtMs <= now || role?.tokenRole !== token.role) {
      return reply(ERROR(403, 'permission denied'));
    }
    for (const { minting } of this.watchers) minting?.(token.name);
    const fate = this.#options.fate();
    this.#later(fate.queueMs, () =>
      this.#inLine(role, (next) => {
        const done: Reply = (answer) => {
          next();
          reply(answer);
        };
        this.#make(role, token, fate, done);
      }),
    );
  }

  #make(role: ModelRoleOfBackend, token: Token, fate: MintFate, done: Reply): void {
    const failed = ERROR(500, '1 error occurred: internal error');
    const { target } = role.link;
    role.link.reach(
      this.#while(() => {
        try {
          target.beginMake(token.name);
        } catch {
          return done(failed);
        }
        const undo = () => {
          target.rollBackMake(token.name);
          done(failed);
        };
        const life = this.#life;
        // The target commits, or notices that its client is gone: that needs no backend.
        this.#options.pace.after(fate.makingMs, () => {
          if (life !== this.#life && !fate.commitsWhenKilled) return undo();
          role.link.reach(() => this.#commit(role, token, fate, life, done), undo);
        });
      }),
      () => done(failed),
    );
  }

  #commit(role: ModelRoleOfBackend, token: Token, fate: MintFate, life: number, done: Reply): void {
    const made = role.link.target.commitMake(token.name);
    if (!made) return done(ERROR(500, 'rolled back'));
    // A process that was killed stores no lease of what it made.
    if (life !== this.#life) return;
    this.#later(fate.storingMs, () => {
      if (fate.end === 'no_lease') return done('none');
      const lease = this.#store(role, token);
      if (fate.end === 'late_error') return done(ERROR(500, 'failed to write the audit log'));
      if (fate.end === 'sealed_word') return done(SEALED);
      const { pace, secret } = this.#options;
      const left = Math.floor((lease.expiresAtMs - pace.nowMs()) / 1000);
      const data = { username: token.name, password: secret() };
      done({ status: 200, body: { lease_id: lease.id, lease_duration: left, data } });
    });
  }

  #store(role: ModelRoleOfBackend, token: Token): ModelBackendLease {
    const now = this.#options.pace.nowMs();
    const seconds = Math.floor(Math.min(token.expiresAtMs - now, role.maxTtlMs) / 1000);
    const lease: ModelBackendLease = {
      id: `${role.mount}/creds/${role.role}/L${++this.#made}`,
      name: token.name,
      mount: role.mount,
      role: role.role,
      issuedAtMs: now,
      expiresAtMs: now + seconds * 1000,
      attempts: 0,
    };
    this.leases.set(lease.id, lease);
    this.byName.set(lease.name, lease.id);
    this.#options.pace.after(seconds * 1000, () => this.#expire(lease));
    return lease;
  }

  /** Ends a lease whose time has come, whatever Mayfly does; gives up after some attempts. */
  #expire(lease: ModelBackendLease): void {
    if (!this.leases.has(lease.id) || lease.attempts >= EXPIRY_ATTEMPTS) return;
    const again = () => {
      lease.attempts++;
      const pause = EXPIRY_PAUSE_MS * 2 ** lease.attempts;
      this.#options.pace.after(pause, () => this.#expire(lease));
    };
    if (this.sealed) return this.#options.pace.after(1_000, () => this.#expire(lease));
    this.#revokeAtTarget(lease, () => this.#forget(lease), again);
  }

  #revokeAtTarget(lease: ModelBackendLease, ok: () => void, failed: () => void): void {
    const role = this.#roleOf(lease);
    role.link.reach(() => {
      try {
        role.link.target.revoke(lease.name);
      } catch {
        return failed();
      }
      ok();
    }, failed);
  }

  #roleOf({ mount, role }: ModelBackendLease): ModelRoleOfBackend {
    const found = this.#options.roles.find((one) => one.mount === mount && one.role === role);
    if (!found) throw new Error('a lease of no role');
    return found;
  }

  #forget(lease: ModelBackendLease): void {
    this.leases.delete(lease.id);
    this.byName.delete(lease.name);
  }

  /** `sync: true`. */
  revoke(id: string, reply: Reply): void {
    if (this.sealed) return reply(SEALED);
    const lease = this.leases.get(id);
    if (!lease) return reply({ status: 204, body: undefined });
    this.#inLine(this.#roleOf(lease), (next) => {
      const done: Reply = (answer) => {
        next();
        reply(answer);
      };
      this.#later(1, () =>
        this.#revokeAtTarget(
          lease,
          this.#while(() => {
            this.#forget(lease);
            done({ status: 204, body: undefined });
          }),
          () => done(ERROR(400, `failed to revoke entry: ${lease.name}`)),
        ),
      );
    });
  }

  lookup(id: string, reply: Reply): void {
    if (this.sealed) return reply(SEALED);
    const lease = this.leases.get(id);
    if (!lease) return reply(ERROR(400, 'invalid lease'));
    const left = lease.expiresAtMs - this.#options.pace.nowMs();
    const data = {
      id,
      issue_time: new Date(lease.issuedAtMs).toISOString(),
      expire_time: new Date(lease.expiresAtMs).toISOString(),
      ttl: Math.max(0, Math.floor(left / 1000)),
    };
    reply({ status: 200, body: { data } });
  }

  list(prefix: string, reply: Reply): void {
    if (this.sealed) return reply(SEALED);
    // As of a folder: what is deeper is named by its first part.
    const keys = new Set<string>();
    for (const id of this.leases.keys()) {
      if (!id.startsWith(prefix)) continue;
      const [first = '', ...deeper] = id.slice(prefix.length).split('/');
      keys.add(deeper.length > 0 ? `${first}/` : first);
    }
    if (keys.size === 0) return reply(ERROR(404));
    reply({ status: 200, body: { data: { keys: [...keys] } } });
  }

  /** One at a time per database config; forgotten when the process is killed. */
  #inLine({ mount, config }: ModelRoleOfBackend, work: (next: () => void) => void): void {
    const key = `${mount}/${config}`;
    const line = this.#lines.get(key);
    const begin = () => work(next);
    const next = this.#while(() => {
      const waiting = this.#lines.get(key);
      const following = waiting?.shift();
      if (following) following();
      else this.#lines.delete(key);
    });
    if (line) line.push(begin);
    else {
      this.#lines.set(key, []);
      begin();
    }
  }

  /** `work` only if the process has not been killed meanwhile. */
  #while(work: () => void): () => void {
    const life = this.#life;
    return () => {
      if (life === this.#life) work();
    };
  }

  #later(ms: number, work: () => void): void {
    this.#options.pace.after(ms, this.#while(work));
  }
}
