import type { Catalogue, CatalogueSource } from '../catalogue/catalogue.ts';
import type { Issuer } from '../catalogue/issuer.ts';
import { canonicalJson } from '../foundation/canonical-json.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Failure } from '../foundation/failure.ts';
import type { Log } from '../foundation/log.ts';
import type { Result } from '../foundation/result.ts';
import type { Authenticator } from './authenticator.ts';
import { createKeySet } from './keys/key-set.ts';
import type { KeySet } from './keys/key-set.ts';
import { keySourceOf } from './keys/key-source.ts';
import type { KeySource } from './keys/key-source.ts';
import type { RefreshTimes } from './keys/refresh-rules.ts';
import { agentOf } from './mapping/agent-of.ts';
import { operatorOf } from './mapping/operator-of.ts';
import type { VerifiedToken } from './principal.ts';
import { createSignatureCheck } from './token/signature.ts';
import { verifyToken } from './verify-token.ts';
import type { TrustedIssuer } from './verify-token.ts';

/** Bounds on reading issuers' keys; each has a default. Milliseconds and bytes. */
export type FetchLimits = Partial<RefreshTimes> & {
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
};

export type AuthenticatorOptions = {
  readonly catalogue: CatalogueSource;
  /** Without a slash at its end: the default audience of workload tokens. */
  readonly publicUrl: string;
  readonly clock: Clock;
  readonly fetchLimits?: FetchLimits;
  /** Against which relative paths of the catalogue are resolved; absent: the working folder. */
  readonly baseFolder?: string;
  readonly log?: Log;
};

/** One reading, discovery and keys together; a caller may wait for it, so it is short. */
const FETCH_TIMEOUT_MS = 5_000;

/** Bytes of a key set: 200 keys with certificates fit, a flood does not. */
const DOCUMENT_BYTES_MAX = 512 * 1024;

/** Keys fetched from an address. Five minutes is SPIFFE's own default for asking again. */
const FETCHED: RefreshTimes = {
  maxAgeMs: 300_000,
  staleMs: 3_600_000,
  coolDownMs: 10_000,
  retryMs: 3_000,
  missMs: 60_000,
};

/**
 * An unreachable OpenID provider issues nothing either, so an hour is enough; SPIFFE agents go on
 * issuing while the bundle's endpoint is down, so its keys serve a day.
 */
const SPIFFE_STALE_MS = 86_400_000;

/** Files are looked at again each second: that costs one `stat`. */
const FROM_FILE = { maxAgeMs: 1_000, coolDownMs: 1_000, retryMs: 1_000, missMs: 1_000 };

/** What is worked out once for each catalogue. */
type Compiled = { readonly catalogue: Catalogue; readonly issuers: readonly TrustedIssuer[] };

/**
 * Answers who is asking, by the catalogue in force at each call. Key sets outlive reloads of the
 * catalogue as long as the definition of their issuer stays the same; only what a bundle's sequence
 * must be is forgotten, since a reload is an operator's act.
 */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { catalogue: source, clock, log } = options;
  let keySets: ReadonlyMap<string, KeySet> = new Map();
  let compiled: Compiled | undefined;

  function inForce(): Compiled {
    const catalogue = source.current();
    if (compiled?.catalogue === catalogue) return compiled;
    for (const keys of keySets.values()) keys.forgetSequence();
    const definitions = [...catalogue.issuers.values()];
    const kept = new Map<string, KeySet>();
    const issuers = definitions.map((definition) => {
      const id = keySetId(definition);
      const keys = kept.get(id) ?? keySets.get(id) ?? keySetOf(definition, options);
      kept.set(id, keys);
      return { definition, audience: audienceOf(definition, options.publicUrl), keys };
    });
    keySets = kept;
    compiled = { catalogue, issuers };
    return compiled;
  }

  /** A genuine token that maps to nobody is mended in the catalogue: its owner needs the subject. */
  function noted<Caller>(token: VerifiedToken, mapped: Result<Caller, Failure>) {
    if (!mapped.ok) {
      const { issuer, subject } = token;
      log?.info({ issuer, subject, reason: mapped.failure.reason }, 'a genuine token was refused');
    }
    return mapped;
  }

  const nowMs = () => clock.now().getTime();
  const checkSignature = createSignatureCheck();
  return {
    agent: async (token) => {
      const { catalogue, issuers } = inForce();
      const verified = await verifyToken(token, 'workload', issuers, nowMs, checkSignature);
      if (!verified.ok) return verified;
      return noted(verified.value, agentOf(verified.value, catalogue.agents.values()));
    },
    operator: async (token) => {
      const { catalogue, issuers } = inForce();
      const verified = await verifyToken(token, 'operator', issuers, nowMs, checkSignature);
      if (!verified.ok) return verified;
      return noted(verified.value, operatorOf(verified.value, catalogue.operators));
    },
  };
}

function audienceOf(issuer: Issuer, publicUrl: string): string {
  return issuer.audience ?? (issuer.use === 'operator' ? `${publicUrl}/operators` : publicUrl);
}

/** Whose keys they are and where they come from; two entries for one issuer share its keys. */
function keySetId(issuer: Issuer): string {
  const whose = issuer.kind === 'oidc' ? issuer.issuer : issuer.trust_domain;
  return canonicalJson({ kind: issuer.kind, whose, keys: issuer.keys, ca_file: issuer.ca_file });
}

function keySetOf(definition: Issuer, options: AuthenticatorOptions): KeySet {
  const { fetchLimits = {}, clock, log } = options;
  const source = keySourceOf(definition, {
    timeoutMs: fetchLimits.timeoutMs ?? FETCH_TIMEOUT_MS,
    maxBytes: fetchLimits.maxBytes ?? DOCUMENT_BYTES_MAX,
    baseFolder: options.baseFolder ?? '.',
  });
  const times = timesFor(source, fetchLimits);
  return createKeySet({ name: definition.name, source, times, clock, ...(log ? { log } : {}) });
}

function timesFor(source: KeySource, limits: FetchLimits): RefreshTimes {
  const defaults = {
    ...FETCHED,
    ...(source.format === 'spiffe' ? { staleMs: SPIFFE_STALE_MS } : {}),
    ...(source.kind === 'file' ? FROM_FILE : {}),
  };
  return {
    maxAgeMs: limits.maxAgeMs ?? defaults.maxAgeMs,
    staleMs: limits.staleMs ?? defaults.staleMs,
    coolDownMs: limits.coolDownMs ?? defaults.coolDownMs,
    retryMs: limits.retryMs ?? defaults.retryMs,
    missMs: limits.missMs ?? defaults.missMs,
  };
}
