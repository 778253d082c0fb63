import { within } from '../foundation/clock.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { DueTarget } from '../ledger/ledger.ts';
import type { SweepPass } from './broker.ts';
import { endDue, nothingInHand, settleDue } from './end-due.ts';
import type { InHand, Tally as DueTally } from './end-due.ts';
import { endOverdueNames } from './end-overdue-names.ts';
import { keepCatalogue, nothingNoted } from './keep-catalogue.ts';
import type { CatalogueNoted } from './keep-catalogue.ts';
import { keepChecking, nothingChecked } from './keep-checking.ts';
import type { Checked } from './keep-checking.ts';
import { keepStops } from './keep-stops.ts';
import { liftPauses } from './lift-pauses.ts';
import {
  BESIDE_WAIT_MS,
  KEYS_PER_PASS,
  PASS_WAIT_MS,
  RESIDUES_PER_PASS,
  TASKS_PER_PASS,
} from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { retryResidue } from './retry-residue.ts';

type Tally = DueTally & { tasksTimedOut: number; endedByName: number };

/** What a pass asks of the ledger; each goes on by itself. */
type Question = 'due' | 'tasks' | 'keys' | 'stops' | 'catalogue' | 'checks';

/** What earlier passes of this process are still at: it is not begun again. */
export type UnderWay = {
  /** Targets that are being asked for names. */
  readonly looking: Set<string>;
  readonly inHand: InHand;
  readonly catalogue: CatalogueNoted;
  readonly checked: Checked;
  /** Questions to the ledger that were not answered yet. */
  readonly asking: Set<Question>;
};

export function nothingUnderWay(): UnderWay {
  return {
    looking: new Set(),
    inHand: nothingInHand(),
    catalogue: nothingNoted(),
    checked: nothingChecked(),
    asking: new Set(),
  };
}

/**
 * One bounded pass of the sweep: what the ledger says is due, and, without the ledger's help, the
 * names that the targets say are past their own deadline. A slow target, a slow backend and a
 * ledger that says nothing do not hold up the pass: after a bounded wait its work goes on behind
 * it, and the next pass looks for names on time.
 *
 * @param ledgerIsKnown false until it is known whether this ledger is the one that went on: what is due
 *   is ended all the same, but nothing is for not being in this catalogue, which may be a copy's.
 */
export async function revokeDue(
  parts: BrokerParts,
  underWay: UnderWay,
  ledgerIsKnown = true,
): Promise<SweepPass> {
  const tally: Tally = { claimed: 0, died: 0, settling: 0, tasksTimedOut: 0, endedByName: 0 };
  await Promise.all([
    waitBounded(parts, 'ledger', PASS_WAIT_MS, askWhatIsDue(parts, underWay, tally)),
    waitBounded(parts, 'beside', BESIDE_WAIT_MS, askBeside(parts, underWay, tally, ledgerIsKnown)),
    waitBounded(parts, 'names', PASS_WAIT_MS, endOverdueNames(parts, underWay, tally)),
  ]);
  const { claimed, died } = tally;
  return {
    ...tally,
    late: Math.max(0, claimed - died),
    more: tally.tasksTimedOut >= TASKS_PER_PASS,
  };
}

async function askWhatIsDue(parts: BrokerParts, underWay: UnderWay, tally: Tally): Promise<void> {
  const asked = askOnce(underWay.asking, 'due', () =>
    endWhatLedgerSays(parts, underWay.inHand, tally),
  );
  const [due] = await Promise.allSettled([asked]);
  complain(parts, [due]);
  const begun = (due.status === 'fulfilled' && due.value) || [];
  complain(parts, await Promise.allSettled(begun));
}

/** All else that each pass asks: none of it may hold up what is due. */
async function askBeside(
  parts: BrokerParts,
  underWay: UnderWay,
  tally: Tally,
  ledgerIsKnown: boolean,
): Promise<void> {
  const { catalogue, checked } = underWay;
  const ask = (question: Question, work: () => Promise<unknown>) =>
    askOnce(underWay.asking, question, work);
  const sides = await Promise.allSettled([
    ask('tasks', () => markTimedOutTasks(parts, tally)),
    ask('keys', () => parts.ledger.forgetKeys(KEYS_PER_PASS)),
    ask('stops', () => keepStops(parts)),
    ...(ledgerIsKnown ? [ask('catalogue', () => keepCatalogue(parts, catalogue))] : []),
    ask('checks', () => keepChecking(parts, checked)),
  ]);
  complain(parts, sides);
}

/**
 * Asks unless an earlier pass still waits for that answer. Each question for itself: one that the
 * ledger never answers in time may not keep what is due from being claimed every second.
 */
async function askOnce<Value>(
  asking: Set<Question>,
  question: Question,
  work: () => Promise<Value>,
): Promise<Value | undefined> {
  if (asking.has(question)) return undefined;
  asking.add(question);
  try {
    return await work();
  } finally {
    asking.delete(question);
  }
}

/** An unreachable ledger is worth a line; what nobody expected is thrown. */
function complain(parts: BrokerParts, sides: readonly PromiseSettledResult<unknown>[]): void {
  const faults = sides.filter((side) => side.status === 'rejected');
  const unexpected = faults.find(({ reason }) => !(reason instanceof LedgerUnreachable));
  if (unexpected) throw unexpected.reason;
  if (faults.length > 0) parts.log.warn({}, 'the ledger cannot be reached');
}

async function markTimedOutTasks(parts: BrokerParts, tally: Tally): Promise<void> {
  tally.tasksTimedOut = await parts.ledger.endTimedOutTasks(TASKS_PER_PASS);
}

/** Begins what is due at each target; what was begun may take longer than this pass. */
async function endWhatLedgerSays(
  parts: BrokerParts,
  inHand: InHand,
  tally: Tally,
): Promise<readonly Promise<void>[]> {
  const limit = parts.catalogue.current().limits.revocation_backlog;
  const askedAtMs = parts.clock.monotonicMs();
  const due = await parts.ledger.dueTargets(limit + 1);
  parts.backlog.counted(due, limit);
  liftPauses(parts, { due, limit: limit + 1, askedAtMs });
  parts.background.run('residue', () => retryResidue(parts, inHand, RESIDUES_PER_PASS));
  beginSettling(parts, inHand, due, tally);
  const ending = due
    .filter(({ toEnd }) => toEnd)
    .map(({ target }) => endDue(parts, inHand, target, tally));
  for (const work of ending) parts.background.run('sweep', () => work);
  return ending;
}

/** Book-keeping goes on behind the pass: nobody's death waits for OpenBao. */
function beginSettling(
  parts: BrokerParts,
  inHand: InHand,
  due: readonly DueTarget[],
  tally: Tally,
): void {
  for (const { target } of due.filter(({ toSettle }) => toSettle)) {
    parts.background.run('settle', () => settleDue(parts, inHand, target, tally));
  }
}

async function waitBounded(
  parts: BrokerParts,
  what: string,
  ms: number,
  work: Promise<void>,
): Promise<void> {
  parts.background.run(what, () => work);
  await within(parts.clock, ms, work);
}
