/** The bounds of a lease's life that the broker decides. docs/limits.md publishes them. */

/** Seconds. Rounding to whole seconds may take one, and a deadline must lie 2 s ahead at commit. */
export const SHORTEST_TTL_SECONDS = 3;

/** Milliseconds that a deadline must lie ahead when an exchange is planned and committed. */
export const DEADLINE_AHEAD_MS = 2_000;

/**
 * Seconds by which the batch token, and with it OpenBao's own lease, outlives our deadline:
 * OpenBao ends the lease by itself if no broker runs any more.
 */
export const TOKEN_MARGIN_SECONDS = 30;

/** Seconds from the commit of `minting` after which its replica is taken for dead. */
export const MINT_DEADLINE_SECONDS = 10;

/**
 * Milliseconds that a caller waits for a mint, counted as the mint deadline is. The mint itself is
 * never cut.
 */
export const MINT_WAIT_MS = MINT_DEADLINE_SECONDS * 1000;

/**
 * Milliseconds that an exchange waits for the lease's own token: long enough for a login before it,
 * and short enough that its end is recorded before the mint deadline.
 */
export const TOKEN_WAIT_MS = 8_000;

/** Seconds for which an Idempotency-Key is kept after its last exchange: a day of retries. */
export const KEY_KEPT_SECONDS = 24 * 3600;

/** Seconds after which the outcome of an exchange under way is worth another look: most take ms. */
export const KEY_RETRY_SECONDS = 1;

/** Idempotency-Keys that one pass of the sweep forgets. */
export const KEYS_PER_PASS = 500;

/**
 * Denials of one agent that a replica records within a minute: more than the instances of an agent
 * need that heed a refusal. At a usual size of 1 KB it is 400 MB of events a day, until somebody looks.
 */
export const DENIALS_PER_MINUTE = 300;

/** Seconds after which an exchange that failed at the backend is worth another try. */
export const MINT_RETRY_SECONDS = 2;

/** Milliseconds between attempts to tell the ledger, behind an answer, what it may not know. */
export const TELL_AGAIN_MS = 500;

/** Milliseconds until such telling is left to claims and deadlines: the longest usual failover. */
export const TELL_FOR_MS = 60_000;

/**
 * Calls of one agent that wait for deaths at a time: a twentieth of a replica's connections, so that
 * the callers of one agent do not keep out all others while its target is away.
 */
export const WAITS_OF_AGENT = 200;

/** Seconds after which the identifier of an ended task may be used again by the same agent. */
export const IDENTIFIER_REST_SECONDS = 24 * 3600;

/** Milliseconds until the first retry of an ending; doubled by each failure. */
export const RETRY_FIRST_MS = 200;

/** Milliseconds between retries at most: a target that is back is noticed within this time. */
export const RETRY_LONGEST_MS = 10_000;

/**
 * Settlings of one target that fail in a row before the others wait: one or two may fail for a
 * reason of their own.
 */
export const SETTLING_FAILURES_TO_PAUSE = 3;

/** Targets of which readiness and metrics say what is late; there are few in all. */
export const LATE_TARGETS_SHOWN = 100;

/**
 * Milliseconds that a target's guard has not answered before OpenBao is asked to end its leases, and
 * before nothing is minted there: longer than a restart of a server that is well, and far shorter than
 * a credential lives that could not be ended.
 */
export const GUARD_AWAY_MS = 5_000;

/** Seconds after which an exchange that was refused for want of a guard is worth another try. */
export const GUARD_AWAY_RETRY_SECONDS = 5;

/** Names in one call of the guard: batches of 20 measured best (docs/decisions). */
export const NAMES_PER_CALL = 20;

/**
 * Batches that the sweep has in hand at one target at a time: while one is ended there, the other
 * is claimed or recorded in the ledger. They share `sweep_batch`.
 */
export const ENDING_HANDS = 2;

/**
 * Milliseconds after a claim that left some behind, in which its target counts as flooded: names
 * past their deadline are then not looked for, since the ledger names more than can be ended.
 */
export const FLOOD_FRESH_MS = 2_000;

/**
 * Milliseconds in which a look at a target has just succeeded: there is one each second, and two in a row
 * may be answered a little late.
 */
export const LOOK_FRESH_MS = 2_000;

/** Dead leases that the sweep claims at a time to settle them. */
export const SETTLINGS_PER_CLAIM = 100;

/**
 * Leases of one target that its guard never saw, of which OpenBao is asked behind endings: as many as are
 * settled at a time. A hung OpenBao keeps each for 30 s.
 */
export const UNSEEN_AT_A_TIME = 100;

/** Seconds after which an exchange that was refused for the backlog is worth another try. */
export const BACKLOG_RETRY_SECONDS = 2;

/** What `revocation_backlog` is divided by: so far a backlog must fall before exchanges go on. */
export const BACKLOG_LOW_DIVISOR = 4;

/** Settlings under way at a time: OpenBao does one thing at a time per database config. */
export const SETTLINGS_AT_A_TIME = 6;

/**
 * Milliseconds past its deadline before a name is ended without the ledger's help. The ledger's
 * own claims come first; this is the net below them.
 */
export const BY_NAME_GRACE_MS = 1_500;

/** Names that one pass of the sweep asks of one guard. */
export const NAMES_PER_PASS = 500;

/** Milliseconds that a pass of the sweep waits for its endings; slower ones go on behind it. */
export const PASS_WAIT_MS = 2_000;

/**
 * Milliseconds of these for what it asks the ledger beside what is due: less than a second, so that
 * the next second's pass claims in time whatever is not answered.
 */
export const BESIDE_WAIT_MS = 900;

/** Milliseconds that an evaluation of the alarms waits for the ledger. */
export const COUNT_WAIT_MS = 1_000;

/** Milliseconds without an evaluation of the alarms before readiness says so: some may fail. */
export const ALARMS_OLD_MS = 60_000;

/** Milliseconds between two counts of all that is closed. */
export const CLOSED_EVERY_MS = 600_000;

/** Leases that one statement of such a count goes through: some ten milliseconds. */
export const CLOSED_PAGE = 20_000;

/** Tasks past their deadline that one pass marks as ended. */
export const TASKS_PER_PASS = 500;

/** Residues that one pass tries again. */
export const RESIDUES_PER_PASS = 20;

/** Milliseconds until a residue is tried again: it waits for a person, not for us. */
export const RESIDUE_RETRY_MS = 60_000;

/** Milliseconds that a clock may be off the ledger's before operators are told. */
export const CLOCK_SKEW_ALARM_MS = 1_000;

/**
 * Milliseconds that the clocks of broker and ledger may differ before nothing is granted: the longest
 * leeway that an issuer's tokens may be given.
 */
export const CLOCKS_APART_MS = 30_000;

/** Seconds after which asking again is worth it: time servers step clocks within minutes. */
export const CLOCKS_RETRY_SECONDS = 10;

/** Milliseconds that a readiness check waits for one part. */
export const READINESS_WAIT_MS = 1_000;

/** Milliseconds within which two endings of one name are taken for one. */
export const SAME_ENDING_MS = 5_000;

/** Leases that one call which ends many fences and ends itself; the rest all replicas share. */
export const STOP_ENDS_ITSELF = 200;

/** Leases that one statement fences where many are ended: some ten milliseconds. */
export const STOP_BATCH = 500;

/** Milliseconds between two counts of what is not dead, while somebody waits for many deaths. */
export const STOP_LOOK_MS = 100;

/** Revocations by selector that may be under way at a time: every exchange reads them. */
export const STOPS_AT_A_TIME = 20;

/** Milliseconds between two looks for exchanges that were under way when a stop came. */
export const STOP_WAIT_LOOK_MS = 5;

/**
 * Milliseconds that a revocation waits for exchanges that were under way: longer than the ledger
 * lets the transaction of a process live that says nothing.
 */
export const STOP_WAIT_MS = 6_000;

/** Milliseconds between two looks for leases that the catalogue does not know (any more). */
export const CATALOGUE_EVERY_MS = 5_000;

/**
 * Seconds for which a replica's catalogue counts as in force after it said so: some of its looks may
 * fail before an older one is taken for the newest.
 */
export const CATALOGUE_IN_USE_SECONDS = 60;

/** Milliseconds between two looks whether the self-check of quarantine is due. */
export const SELF_CHECK_LOOK_MS = 1_000;

/** Checks that may be missed before readiness says that the switch is not known to work. */
export const SELF_CHECKS_MISSED = 3;

/** Seconds after which a stop is taken over by other replicas: its own has surely given up. */
export const STOP_TAKEN_OVER_SECONDS = 15;

/** Rows of the ledger that a reconciliation holds at a time. */
export const RECONCILE_PAGE = 1_000;

/** Names that a reconciliation asks the ledger for in one statement. */
export const RECONCILE_NAMES = 500;

/** Calls to OpenBao of a reconciliation under way at a time: exchanges come first. */
export const RECONCILE_AT_A_TIME = 4;

/** Backend leases of one mount that one reconciliation looks up; the next one goes on. */
export const LOOKUPS_PER_PASS = 10_000;

/**
 * Revocations of one mount and role that fail in a row before a reconciliation leaves the others
 * there to the next one: each may take as long as its target lets it.
 */
export const REVOCATIONS_FAILED_TO_WITHHOLD = 3;

/** Findings and strangers that a reconciliation names; all are counted. */
export const FINDINGS_SHOWN = 200;

/** Milliseconds after which a reconciliation says that it is still at it: its claim lapses later. */
export const RECONCILE_KEEP_MS = 4_000;

/**
 * Seconds from the commit of `minting` after which no mint of it can be under way any more: its
 * mint deadline, the wait for a turn and for a connection to OpenBao behind it, and the longest
 * `max_request_duration` that doctor accepts.
 */
export const MINT_WINDOW_SECONDS = 135;

/** Milliseconds by which clocks of ledger, OpenBao and targets may differ in comparisons of age. */
export const SKEW_ALLOWED_MS = 60_000;

/** Milliseconds around a backend lease's making in which the ledger is searched for its lease. */
export const OPENED_AROUND_MS = 3_600_000;

/**
 * Active leases that OpenBao does not know any more are ended by the schedule up to this share of
 * all, or this number where that is more. Above it a person decides: so much at once looks like an
 * OpenBao that was restored or replaced.
 */
export const MISSING_SHARE_MAX = 0.1;
export const MISSING_COUNT_MAX = 10;
