import { importJWK } from 'jose';
import type { CryptoKey } from 'jose';
import type { Clock } from '../../foundation/clock.ts';
import { failure } from '../../foundation/failure.ts';
import type { Failure } from '../../foundation/failure.ts';
import type { Log } from '../../foundation/log.ts';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { keyShapeOf } from '../token/algorithm.ts';
import type { KeyDocument } from './key-document.ts';
import type { KeySource, LoadedKeys } from './key-source.ts';
import { fitsAlgorithm } from './public-key.ts';
import type { PublicKey } from './public-key.ts';
import { refreshNeed, stillTrusted } from './refresh-rules.ts';
import type { KeySetAge, RefreshTimes } from './refresh-rules.ts';

/** The keys of one issuer. They verify that issuer's tokens and no other's. */
export type KeySet = {
  /**
   * The key that `kid` names, for `algorithm`. Fails with `subject_token_key_unknown`, or with
   * `issuer_keys_unavailable` where nobody can tell. Never rejects.
   */
  find(kid: string, algorithm: string): Promise<Result<CryptoKey, Failure>>;
  /** The next reading may bring a bundle of any `spiffe_sequence`: an operator says so. */
  forgetSequence(): void;
};

export type KeySetOptions = {
  /** The issuer's name in the catalogue, for the log. */
  readonly name: string;
  readonly source: KeySource;
  readonly times: RefreshTimes;
  readonly clock: Clock;
  readonly log?: Log;
};

/** Names looked for in vain that are remembered; the oldest is forgotten first. */
const MISSES_MAX = 1000;

/** Seconds; bounds on what a bundle may ask by its `spiffe_refresh_hint`. */
const REFRESH_HINT_MIN_S = 30;
const REFRESH_HINT_MAX_S = 3600;

export function createKeySet(options: KeySetOptions): KeySet {
  const { source, clock, log, name } = options;
  const misses = new Map<string, number>();
  const imports = createImports();
  let held: LoadedKeys | undefined;
  let sequenceForgotten = false;
  let loadedAtMs: number | undefined;
  let attemptEndedAtMs: number | undefined;
  let attemptFailed = false;
  let reading: Promise<void> | undefined;

  /** One reading at a time, however many tokens wait for it. */
  const read = () => (reading ??= readOnce().finally(() => (reading = undefined)));

  async function readOnce(): Promise<void> {
    const startedAtMs = clock.monotonicMs();
    const loaded = await source.load(held?.version);
    attemptEndedAtMs = clock.monotonicMs();
    // A false bundle must not shut the honest ones out for longer than its keys are trusted.
    const trusted = stillTrusted({ nowMs: attemptEndedAtMs, loadedAtMs }, options.times);
    const floor = trusted && !sequenceForgotten ? held?.document.sequence : undefined;
    const problem = loaded.ok ? refuseOlder(loaded.value, floor) : loaded.failure;
    attemptFailed = problem !== undefined;
    if (!loaded.ok || problem !== undefined) {
      log?.warn({ issuer: name, problem }, 'the keys of an issuer could not be read');
      return;
    }
    loadedAtMs = startedAtMs;
    sequenceForgotten = false;
    if (loaded.value === 'unchanged') return;
    held = loaded.value;
    imports.clear();
    log?.info({ issuer: name, keys: held.document.keys.size }, 'the keys of an issuer were read');
  }

  function age(kid: string): KeySetAge {
    const kidKnown = held?.document.keys.has(kid) ?? false;
    return {
      nowMs: clock.monotonicMs(),
      loadedAtMs,
      attemptEndedAtMs,
      attemptFailed,
      kidKnown,
      missedAtMs: misses.get(kid),
    };
  }

  /** True when the keys were read for this kid's sake, so that a miss says something new. */
  async function freshen(kid: string): Promise<boolean> {
    const known = age(kid);
    const need = refreshNeed(known, timesOf(options.times, held?.document));
    if (need === 'background') void read();
    if (need !== 'wait' && (known.kidKnown || !reading)) return false;
    await read();
    return true;
  }

  return {
    find: async (kid, algorithm) => {
      const wasRead = await freshen(kid);
      if (!held || !stillTrusted(age(kid), options.times)) return unavailable(options.times);
      const keys = held.document.keys.get(kid);
      if (!keys) {
        // A reading that failed may have hidden a new key: only time can tell.
        if (attemptFailed) return unavailable(options.times);
        if (wasRead) remember(misses, kid, clock.monotonicMs());
        return keyUnknown('its kid names no key of its issuer');
      }
      const fitting = keysFor(keys, algorithm);
      const [key] = fitting;
      if (!key || fitting.length > 1) return keyUnknown('the key of its kid is not for its alg');
      const cryptoKey = await imports.once(key, algorithm);
      return cryptoKey ? succeed(cryptoKey) : keyUnknown('the key of its kid is no usable key');
    },
    forgetSequence: () => {
      sequenceForgotten = true;
    },
  };
}

/**
 * A bundle that is older than the one in hand is a replay or a lagging mirror (SPIFFE bundles 4), or
 * its server was set back, which only a person can tell.
 */
function refuseOlder(
  loaded: LoadedKeys | 'unchanged',
  floor: number | undefined,
): string | undefined {
  if (loaded === 'unchanged' || floor === undefined) return undefined;
  const sequence = loaded.document.sequence ?? 0;
  if (sequence >= floor) return undefined;
  return (
    `its spiffe_sequence ${sequence} is below ${floor}, which was taken before. If its server was ` +
    'set back or the other one was false, send the broker SIGHUP: then the next reading is taken'
  );
}

function timesOf(times: RefreshTimes, document: KeyDocument | undefined): RefreshTimes {
  const hint = document?.refreshHintSeconds;
  if (hint === undefined) return times;
  const bounded = Math.min(Math.max(hint, REFRESH_HINT_MIN_S), REFRESH_HINT_MAX_S) * 1000;
  return { ...times, maxAgeMs: Math.min(times.maxAgeMs, bounded) };
}

function keysFor(keys: readonly PublicKey[], algorithm: string): readonly PublicKey[] {
  const shape = keyShapeOf(algorithm);
  return shape ? keys.filter((key) => fitsAlgorithm(key, algorithm, shape)) : [];
}

/** Each key is imported once for each algorithm. */
function createImports() {
  const imported = new Map<string, Promise<CryptoKey | undefined>>();
  return {
    once(key: PublicKey, algorithm: string): Promise<CryptoKey | undefined> {
      const id = JSON.stringify([algorithm, key.jwk]);
      const known = imported.get(id) ?? importKey(key, algorithm);
      imported.set(id, known);
      return known;
    },
    clear: () => imported.clear(),
  };
}

async function importKey(key: PublicKey, algorithm: string): Promise<CryptoKey | undefined> {
  try {
    const result = await importJWK(key.jwk, algorithm);
    return result instanceof Uint8Array ? undefined : result;
  } catch {
    return undefined;
  }
}

function remember(misses: Map<string, number>, kid: string, nowMs: number): void {
  misses.delete(kid);
  misses.set(kid, nowMs);
  if (misses.size <= MISSES_MAX) return;
  const [oldest] = misses.keys();
  if (oldest !== undefined) misses.delete(oldest);
}

function keyUnknown(why: string): Result<never, Failure> {
  return fail(
    failure(
      'subject_token_key_unknown',
      `the token cannot be verified: ${why}. Get a fresh one; just after its issuer has changed ` +
        'keys, try again in a moment',
      { field: 'kid' },
    ),
  );
}

function unavailable(times: RefreshTimes): Result<never, Failure> {
  return fail(
    failure(
      'issuer_keys_unavailable',
      "the keys of the token's issuer cannot be read at present; the broker's log says why",
      { retryAfterSeconds: Math.max(1, Math.ceil(times.retryMs / 1000)) },
    ),
  );
}
