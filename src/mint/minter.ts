import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { Log } from '../foundation/log.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { withSpan } from '../foundation/tracing.ts';
import { openTurns } from '../foundation/turns.ts';
import type { Turns } from '../foundation/turns.ts';
import type { Minter, MintOutcome, MintPlace } from './backend.ts';
import { backendFailure } from './backend-failure.ts';
import { MINT } from './call-bounds.ts';
import { mintOutcome } from './mint-outcome.ts';
import { TokenReply } from './replies.ts';
import type { Session } from './session.ts';
import { openRatePause } from './rate-pause.ts';
import type { RatePause } from './rate-pause.ts';
import type { VaultPort, VaultResult } from './vault-port.ts';

/** A minter that also knows what is under way, so that a graceful stop can wait for it. */
export type TrackedMinter = Minter & {
  /** Resolves when no mint is under way. */
  idle(): Promise<void>;
};

type Parts = {
  readonly port: VaultPort;
  readonly session: Session;
  readonly log: Log;
  readonly pause: RatePause;
};

/**
 * Mints under way at a time per database config. OpenBao does one at a time there, so this many
 * keep it busy; one target that hangs takes no more connections than these.
 */
const MINTS_PER_CONFIG = 32;

/** Milliseconds in line for one of them: well below what a caller waits for a mint (10 s). */
const TURN_WAIT_MS = 5_000;

export function openMinter(
  adapters: Omit<Parts, 'pause'> & { readonly clock: Clock },
): TrackedMinter {
  const parts = { ...adapters, pause: openRatePause(adapters.clock) };
  const turns = openTurns(MINTS_PER_CONFIG, TURN_WAIT_MS, parts.clock);
  const underWay = new Set<Promise<unknown>>();
  const credential = (place: MintPlace, token: SecretText) => {
    const mint = withSpan('mint.credential', { 'mayfly.backend_role': place.role }, () =>
      mintInTurn(parts, turns, place, token),
    ).finally(() => underWay.delete(mint));
    underWay.add(mint);
    return mint;
  };
  return {
    token: (place, displayName, ttlSeconds) =>
      withSpan('mint.token', { 'mayfly.token_role': place.tokenRole }, () =>
        makeToken(parts, place, { displayName, ttlSeconds }),
      ),
    credential,
    idle: async () => {
      while (underWay.size > 0) await Promise.allSettled(underWay);
    },
  };
}

async function makeToken(
  { port, session, log, pause }: Parts,
  place: MintPlace,
  wanted: { readonly displayName: string; readonly ttlSeconds: number },
): Promise<Result<SecretText, Failure>> {
  const refusal = pause.refusal();
  if (refusal) return fail(refusal);
  const body = { display_name: wanted.displayName, ttl: `${wanted.ttlSeconds}s` };
  const once = () =>
    session.call((token) => port.write(`auth/token/create/${place.tokenRole}`, body, { token }));
  let result = await once();
  // An idle connection that OpenBao closed as we took it; a second, unused token is harmless.
  if (isLostConnection(result)) result = await once();
  if (!result.ok) {
    const { message, errors } = result.failure;
    pause.saw(result.failure);
    log.warn({ err: message, said: errors, name: wanted.displayName }, 'no batch token');
    return fail(backendFailure(result.failure));
  }
  const reply = TokenReply.safeParse(result.value);
  if (!reply.success) {
    return fail(failure('backend_unreachable', 'the secret backend made no token we understand'));
  }
  if (reply.data.auth.lease_duration < wanted.ttlSeconds) {
    // OpenBao says so in `warnings` only; the lease is then cut as short as the token.
    const granted = reply.data.auth.lease_duration;
    log.warn({ wanted: wanted.ttlSeconds, granted }, 'batch token shortened by max_lease_ttl');
  }
  return succeed(new SecretText(reply.data.auth.client_token));
}

function isLostConnection(result: VaultResult): boolean {
  return !result.ok && result.failure.kind === 'no_reply' && result.failure.wasReset;
}

async function mintInTurn(
  parts: Parts,
  turns: Turns,
  place: MintPlace,
  token: SecretText,
): Promise<MintOutcome> {
  const done = await turns.take(`${place.mount}/${place.config}`);
  if (done === null) {
    const detail = 'too many mints wait for this target already; try again later';
    const retryAfterSeconds = TURN_WAIT_MS / 1000;
    parts.log.warn({ mount: place.mount, config: place.config }, 'no turn for a mint');
    return {
      kind: 'unsent',
      failure: failure('backend_unreachable', detail, { retryAfterSeconds }),
    };
  }
  try {
    return await mintWith(parts, place, token);
  } finally {
    done();
  }
}

async function mintWith(
  { port, log, pause }: Parts,
  place: MintPlace,
  token: SecretText,
): Promise<MintOutcome> {
  const result = await port.read(`${place.mount}/creds/${place.role}`, { token, bounds: MINT });
  const outcome = mintOutcome(result);
  if (!result.ok) {
    const { message, errors } = result.failure;
    pause.saw(result.failure);
    log.warn({ err: message, said: errors, outcome: outcome.kind }, 'mint did not succeed');
  } else if (outcome.kind !== 'minted') {
    log.warn({ outcome: outcome.kind, role: place.role }, 'mint answer not understood');
  }
  return outcome;
}
