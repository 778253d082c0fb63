/** How long and how large one call to OpenBao may be. */
export type CallBounds = {
  /** Milliseconds from the start until a connection carries the request; then it never left. */
  readonly connectMs: number;
  /** Milliseconds from then on until the whole answer is there. */
  readonly replyMs: number;
  /** Bytes of the answer. */
  readonly maxBytes: number;
  /** `false`: an answer that grows too large is read to its end and thrown away, never cut. */
  readonly mayCut: boolean;
};

const KIB = 1024;
const MIB = 1024 * KIB;

/** Connecting on a local network takes milliseconds; longer means that nobody is there. */
const CONNECT_MS = 5_000;

/** Milliseconds. OpenBao answers in a few, a loaded raft in some hundred. */
const ORDINARY_REPLY_MS = 10_000;

/** Reads, logins, renewals. */
export const ORDINARY: CallBounds = {
  connectMs: CONNECT_MS,
  replyMs: ORDINARY_REPLY_MS,
  maxBytes: MIB,
  mayCut: true,
};

/**
 * Milliseconds. A sync revoke waits for the target (connect and statement time-out, 5 s each) and for
 * others at the same database config. It goes on in OpenBao after we stop waiting; the next try joins it.
 */
const REVOKE_REPLY_MS = 20_000;

export const REVOKE: CallBounds = { ...ORDINARY, replyMs: REVOKE_REPLY_MS };

/** A lease id's last part is 27 bytes in JSON; OpenBao advises at most 256,000 leases. */
const LIST_BYTES = 16 * 1024 * 1024;

/** Milliseconds: far more than other answers hold. */
const LIST_REPLY_MS = 30_000;

export const LIST: CallBounds = { ...ORDINARY, replyMs: LIST_REPLY_MS, maxBytes: LIST_BYTES };

/** For readiness, which itself is asked with a time-out of a few seconds. */
export const HEALTH: CallBounds = {
  connectMs: 1_000,
  replyMs: 2_000,
  maxBytes: 64 * KIB,
  mayCut: true,
};

/**
 * Milliseconds. OpenBao itself ends a request after `max_request_duration` (90 s unless declared
 * otherwise), so this only frees our socket when OpenBao is frozen or gone without a word. A server
 * that declares more than 110 s is reported by `mayfly doctor`.
 */
const MINT_REPLY_MS = 120_000;

/** A mint is never cut: a closed connection makes OpenBao leave users without a lease. */
export const MINT: CallBounds = {
  connectMs: CONNECT_MS,
  replyMs: MINT_REPLY_MS,
  maxBytes: MIB,
  mayCut: false,
};

/** The longest `max_request_duration` that leaves `MINT` above it, in seconds. */
export const LONGEST_REQUEST_SECONDS = 110;
