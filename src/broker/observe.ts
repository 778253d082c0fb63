import { within } from '../foundation/clock.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { Readiness, SweepPass } from './broker.ts';
import { endOverdueNames } from './end-overdue-names.ts';
import type { LedgerWatch } from './ledger-watch.ts';
import { PASS_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import type { UnderWay } from './revoke-due.ts';

/** Mints only on a ledger that is known to be the one that went on. */
export async function granting<Value>(
  watch: LedgerWatch,
  work: () => Promise<Result<Value, Failure>>,
): Promise<Result<Value, Failure>> {
  const obstacle = await watch.obstacle();
  return obstacle ? fail(obstacle) : work();
}

/** The pass of a broker that only observes: names past their own deadline, whoever's they are. */
export async function endNamesOnly(parts: BrokerParts, underWay: UnderWay): Promise<SweepPass> {
  const tally = { endedByName: 0 };
  const names = endOverdueNames(parts, underWay, tally);
  parts.background.run('names', () => names);
  await within(parts.clock, PASS_WAIT_MS, names);
  const nothing = { claimed: 0, died: 0, settling: 0, late: 0, tasksTimedOut: 0, more: false };
  return { ...nothing, ...tally };
}

/** Nothing can be granted while a broker only observes, however well all its parts are. */
export function observedReadiness(seen: Readiness, watch: LedgerWatch): Readiness {
  const reason = watch.observing();
  if (reason === null) return withMarkProblem(seen, watch.markProblem());
  const detail = `observing only, until an operator confirms the ledger: ${reason}`;
  return { ...seen, ready: false, ledger: { ok: false, detail } };
}

/** Exchanges can be granted all the same: only a restore of the ledger might not be noticed. */
function withMarkProblem(seen: Readiness, problem: string | null): Readiness {
  if (problem === null) return seen;
  const detail = `${seen.ledger.detail}; its mark in OpenBao does not rise: ${problem}`;
  return { ...seen, ledger: { ...seen.ledger, detail } };
}
