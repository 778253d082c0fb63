import type { Clock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import type { Log } from '../foundation/log.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import { fail } from '../foundation/result.ts';
import { isSealed } from './backend-failure.ts';
import { grantOf, logIn } from './login-method.ts';
import type { LoggedIn, LoginMethod, LoginProblem } from './login-method.ts';
import { nearsItsEnd, renewalDelayMs, retryDelayMs } from './session-pace.ts';
import { VaultHttpError } from './vault-http-error.ts';
import type { VaultPort, VaultResult } from './vault-port.ts';

/**
 * One of Mayfly's identities in OpenBao, kept logged in. Its token is nobody's parent: losing it
 * ends no lease, it only delays calls until the next login.
 */
export type Session = {
  /** Tries to log in once and keeps at it in the background. Resolves after the first try. */
  start(): Promise<void>;
  /** Ends the renewals and gives the token back, if we logged in for it. */
  stop(): Promise<void>;
  /**
   * Calls with the session's token. On 403 the token is checked and, if dead, replaced by one new
   * login (one for all callers), and the call is made once more. `work` must bear a repeat after
   * 403.
   */
  call(work: (token: SecretText) => Promise<VaultResult>): Promise<VaultResult>;
  isLoggedIn(): boolean;
};

export type SessionParts = {
  readonly identity: 'minter' | 'reaper';
  readonly port: VaultPort;
  readonly login: LoginMethod;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
};

/**
 * Milliseconds. A token that OpenBao still knows but that may not do what was asked is replaced
 * at most this often (the role may have got policies since); more would only make tokens.
 */
const REFUSED_LOGIN_EVERY_MS = 30_000;

type Held = LoggedIn & {
  readonly loginSeconds: number;
  readonly loggedInAtMs: number;
  readonly expiresAtMs: number;
};

export function openSession(parts: SessionParts): Session {
  return new KeptSession(parts);
}

class KeptSession implements Session {
  readonly #parts: SessionParts;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #held: Held | null = null;
  #problem: LoginProblem = { message: 'not logged in yet' };
  #login: Promise<Held | null> | null = null;
  #loop: Promise<void> | null = null;
  /** Aborted when the token changes, so that the loop does not sleep by an old one's life. */
  #changed = new AbortController();

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#log = parts.log.child({ identity: parts.identity });
  }

  async start(): Promise<void> {
    if (this.#loop !== null) return;
    await this.#loginOnce();
    this.#loop = this.#keep();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#changed.abort();
    await this.#login;
    await this.#loop;
    const held = this.#held;
    this.#held = null;
    if (held?.own !== true) return;
    const given = await this.#parts.port.write('auth/token/revoke-self', {}, held);
    if (!given.ok) this.#log.info({ err: given.failure.message }, 'backend token not given back');
  }

  isLoggedIn(): boolean {
    return this.#live() !== null;
  }

  async call(work: (token: SecretText) => Promise<VaultResult>): Promise<VaultResult> {
    const held = this.#live() ?? (await this.#loginOnce());
    if (held === null) return fail(this.#notLoggedIn());
    const first = await work(held.token);
    if (first.ok || !isDenied(first.failure)) return first;
    const fresh = await this.#replace(held);
    return fresh === null ? first : work(fresh.token);
  }

  #live(): Held | null {
    const held = this.#held;
    return held !== null && held.expiresAtMs > this.#parts.clock.monotonicMs() ? held : null;
  }

  /** A token other than `denied`, or null where a new one would not help. */
  async #replace(denied: Held): Promise<Held | null> {
    const now = this.#live();
    if (now !== null && now.token !== denied.token) return now;
    if (!(await this.#worthReplacing(denied))) return null;
    const fresh = await this.#loginOnce();
    return fresh === null || fresh.token.reveal() === denied.token.reveal() ? null : fresh;
  }

  async #worthReplacing(denied: Held): Promise<boolean> {
    const known = await this.#parts.port.read('auth/token/lookup-self', denied);
    if (!known.ok) return isDenied(known.failure);
    const age = this.#parts.clock.monotonicMs() - denied.loggedInAtMs;
    return denied.own && age > REFUSED_LOGIN_EVERY_MS;
  }

  /** Logs in; callers that come meanwhile share the one login. */
  #loginOnce(): Promise<Held | null> {
    this.#login ??= this.#logInNow().finally(() => {
      this.#login = null;
    });
    return this.#login;
  }

  async #logInNow(): Promise<Held | null> {
    if (this.#stopping.signal.aborted) return null;
    const { port, login } = this.#parts;
    const result = await logIn(port, login);
    if (!result.ok) {
      this.#problem = result.failure;
      const { message, cause } = result.failure;
      this.#log.warn({ err: message, said: cause?.errors }, 'backend login failed');
      return null;
    }
    this.#log.info({ ttlSeconds: printable(result.value.ttlSeconds) }, 'logged in to the backend');
    return this.#hold(result.value, result.value.ttlSeconds);
  }

  #hold(grant: LoggedIn, loginSeconds: number): Held {
    const now = this.#parts.clock.monotonicMs();
    const held = {
      ...grant,
      loginSeconds,
      loggedInAtMs: this.#held?.token === grant.token ? this.#held.loggedInAtMs : now,
      expiresAtMs: now + grant.ttlSeconds * 1000,
    };
    this.#held = held;
    this.#changed.abort();
    this.#changed = new AbortController();
    return held;
  }

  /** Logs in whenever there is no live token, renews it at half of its life, tries again soon. */
  async #keep(): Promise<void> {
    let failed = false;
    while (!this.#stopping.signal.aborted) {
      const held = this.#live();
      if (held === null) {
        if ((await this.#loginOnce()) === null) await this.#pause(retryDelayMs(this.#fraction()));
        continue;
      }
      const { ttlSeconds } = held;
      const fraction = this.#fraction();
      await this.#pause(failed ? retryDelayMs(fraction) : renewalDelayMs(ttlSeconds, fraction));
      // A new login meanwhile has its own life.
      const current = this.#held === held && !this.#stopping.signal.aborted;
      failed = current ? !(await this.#prolong(held)) : false;
    }
  }

  /** Renews, or logs in where renewing is no use. False when it must be tried again soon. */
  async #prolong(held: Held): Promise<boolean> {
    if (held.ttlSeconds === Number.POSITIVE_INFINITY) return true;
    if (!held.renewable) return (await this.#loginOnce()) !== null;
    const renewed = grantOf(await this.#parts.port.write('auth/token/renew-self', {}, held));
    if (!renewed.ok) {
      const { message, cause } = renewed.failure;
      this.#log.warn({ err: message }, 'backend token not renewed');
      return cause !== undefined && isDenied(cause) && (await this.#loginOnce()) !== null;
    }
    if (this.#held !== held) return true;
    const { ttlSeconds, renewable } = renewed.value;
    this.#hold({ ...held, ttlSeconds, renewable }, held.loginSeconds);
    if (!nearsItsEnd(ttlSeconds, held.loginSeconds)) return true;
    return (await this.#loginOnce()) !== null;
  }

  async #pause(ms: number): Promise<void> {
    await this.#parts.clock.sleep(ms, this.#changed.signal);
  }

  #fraction(): number {
    return this.#parts.ids.fraction();
  }

  #notLoggedIn(): VaultHttpError {
    const { cause, message } = this.#problem;
    if (cause !== undefined && isSealed(cause)) return cause;
    return new VaultHttpError({ kind: 'unsent', method: 'POST', path: 'login', why: message });
  }
}

/** 403 in OpenBao's own words; a proxy's 403 says nothing about our token. */
function isDenied(error: VaultHttpError): boolean {
  return error.status === 403 && error.errors !== null;
}

function printable(seconds: number): number | string {
  return Number.isFinite(seconds) ? seconds : 'unlimited';
}
