import type { Failure } from '../foundation/failure.ts';
import { failure } from '../foundation/failure.ts';
import type { Result } from '../foundation/result.ts';
import type { LedgerEpoch } from '../ledger/ledger.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { KeptMark, MarkStore } from '../mint/ledger-mark.ts';
import { judgedBySetting, SETTING_SAYS_SO } from './observe-setting.ts';
import { objectionTo } from './judge-ledger.ts';
import type { BrokerParts } from './parts.ts';

/** Whether this ledger is the one that went on, or a restored or cloned one. */
export type LedgerWatch = {
  /** Why this broker only observes; null where it acts, or does not know yet. */
  observing(): string | null;
  /** Both places were compared, or an operator said to observe: `observing` can be relied on. */
  isKnown(): boolean;
  /** Why the mark does not rise, so that a restore of the ledger might not be noticed; null: it does. */
  markProblem(): string | null;
  /** What stands in the way of a grant now; asks first where nothing is known yet. */
  obstacle(): Promise<Failure | null>;
  /** Compares both places once, and raises the epoch where they agree. Never rejects. */
  check(): Promise<void>;
};

/** For brokers without a mark, such as those of tests of other parts. */
export const UNWATCHED: LedgerWatch = {
  observing: () => null,
  isKnown: () => true,
  markProblem: () => null,
  obstacle: () => Promise.resolve(null),
  check: () => Promise.resolve(),
};

/** Seconds after which an operator may have confirmed. */
const OBSERVING_RETRY_SECONDS = 30;

export function openLedgerWatch(
  parts: Pick<BrokerParts, 'ledger' | 'log' | 'metrics'>,
  marks: MarkStore,
  askedToObserve: boolean,
): LedgerWatch {
  let known = false;
  let silence = UNKNOWN;
  let reason = askedToObserve ? SETTING_SAYS_SO : null;
  let underWay: Promise<void> | undefined;
  let startedAt: Date | undefined;
  /** What spoke against this ledger when the mark could last be read. */
  let objection: string | null = null;
  let markProblem: string | null = null;
  parts.metrics.observing(reason !== null);

  const conclude = (next: string | null) => {
    if (next !== null) parts.log.error({ reason: next }, 'OBSERVING ONLY: nothing is minted');
    else if (reason !== null) parts.log.warn({}, 'the ledger was confirmed: acting again');
    known = true;
    reason = next;
    parts.metrics.observing(next !== null);
  };

  const noteMark = (next: string | null) => {
    if (next === markProblem) return;
    markProblem = next;
    if (next === null) parts.log.info({}, 'the mark of the ledger in OpenBao rises again');
    else parts.log.warn({ reason: next }, 'the mark of the ledger in OpenBao does not rise');
  };

  const compare = async () => {
    const now = await parts.ledger.now();
    startedAt ??= now;
    // The mark first: the ledger is raised before it, so that it can never be behind by itself.
    const mark = await marks.read();
    if (!mark.ok) {
      silence = mark.failure.reason === 'backend_sealed' ? mark.failure : UNKNOWN;
      return;
    }
    const ours = await parts.ledger.epoch();
    const forced = judgedBySetting(askedToObserve, ours.confirmedAt, startedAt);
    if (mark.value === 'closed') {
      noteMark(NO_MARK);
      // A mark that cannot be read any more confirms nothing.
      conclude(objection ?? forced);
      return;
    }
    objection = objectionTo(ours, mark.value);
    const against = objection ?? forced;
    if (against === null) {
      const written = await raise(parts, marks, ours, mark.value);
      if (written !== null) noteMark(written.ok ? null : written.failure.detail);
    }
    conclude(against);
  };

  const check = () =>
    (underWay ??= compare()
      .catch((error: unknown) => {
        if (!(error instanceof LedgerUnreachable)) throw error;
      })
      .finally(() => {
        underWay = undefined;
      }));

  return {
    observing: () => reason,
    isKnown: () => known || reason !== null,
    markProblem: () => markProblem,
    check,
    async obstacle() {
      if (!known && reason === null) await check();
      if (reason !== null) return notConfirmed(reason);
      return known ? null : silence;
    },
  };
}

const UNKNOWN: Failure = failure(
  'backend_unreachable',
  'whether this ledger is the right one cannot be asked yet; try again',
  { retryAfterSeconds: 2 },
);

const NO_MARK = 'OpenBao keeps no mark of it that can be read: run "mayfly backend apply"';

function notConfirmed(reason: string): Failure {
  return failure('ledger_not_confirmed', `${reason}; an operator has to confirm it`, {
    retryAfterSeconds: OBSERVING_RETRY_SECONDS,
  });
}

/**
 * Somebody else's raise does as well: what counts is that both numbers rise. Null where the ledger was
 * raised by another, who writes the mark.
 */
async function raise(
  { ledger }: Pick<BrokerParts, 'ledger'>,
  marks: MarkStore,
  ours: LedgerEpoch,
  mark: KeptMark | 'none',
): Promise<Result<'written' | 'lost', Failure> | null> {
  const epoch = ours.epoch + 1;
  if (!(await ledger.raiseEpoch(ours.epoch, epoch, false))) return null;
  const { ledger: id, cluster } = ours;
  return marks.write({ ledger: id, cluster, epoch }, mark === 'none' ? 0 : mark.version);
}
