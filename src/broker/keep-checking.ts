import { faultOf } from '../foundation/fault.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { SelfCheck } from '../ledger/stop.ts';
import { SELF_CHECK_LOOK_MS, SELF_CHECKS_MISSED } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { CANARY, checkQuarantine } from './self-check.ts';

/** What this process knows of the checks that all replicas share. */
export type Checked = { lookedAtMs: number; last: SelfCheck | null };

export function nothingChecked(): Checked {
  return { lookedAtMs: -Infinity, last: null };
}

/** Takes its turn at the check when one is due, on whichever replica asks first, and shows the last. */
export async function keepChecking(parts: BrokerParts, checked: Checked): Promise<void> {
  const nowMs = parts.clock.monotonicMs();
  if (nowMs - checked.lookedAtMs < SELF_CHECK_LOOK_MS) return;
  checked.lookedAtMs = nowMs;
  const everySeconds = parts.catalogue.current().limits.self_check_seconds;
  checked.last = await parts.ledger.selfCheck(CANARY.check);
  if (isDue(checked.last, everySeconds)) {
    if (await parts.ledger.takeSelfCheck(CANARY.check, everySeconds)) await check(parts);
    checked.last = await parts.ledger.selfCheck(CANARY.check);
  }
  const { succeededAt } = checked.last ?? {};
  if (succeededAt) parts.metrics.quarantineChecked(succeededAt.getTime() / 1000);
}

/** Looked at before the turn is asked for, since asking writes. */
function isDue(last: SelfCheck | null, everySeconds: number): boolean {
  return last === null || last.now.getTime() - last.begunAt.getTime() >= everySeconds * 1000;
}

async function check(parts: BrokerParts): Promise<void> {
  const wrong = await found(parts);
  parts.metrics.selfChecked(wrong === undefined ? 'ok' : 'failed');
  await parts.ledger.recordSelfCheck(CANARY.check, wrong ?? null);
  if (wrong === undefined) parts.log.info('quarantine was checked: the switch works');
  else parts.log.error({ alarm: 'quarantine_self_check', wrong }, 'the switch does not work');
}

/** A ledger that cannot be asked says nothing of the switch: the age of the last success tells. */
async function found(parts: BrokerParts): Promise<string | undefined> {
  try {
    return await checkQuarantine(parts);
  } catch (error) {
    if (error instanceof LedgerUnreachable) throw error;
    parts.log.error({ fault: faultOf(error) }, 'the self-check of quarantine broke off');
    return 'the check broke off';
  }
}

/** For readiness: whether the switch is known to work, and since when. */
export function quarantineState(
  { last }: Checked,
  everySeconds: number,
): { readonly ok: boolean; readonly detail: string } {
  if (last === null || (last.succeededAt === null && last.failedAt === null)) {
    return { ok: true, detail: 'not checked yet' };
  }
  const { succeededAt, failedAt, failure, now } = last;
  if (failedAt && (!succeededAt || failedAt > succeededAt)) {
    return { ok: false, detail: `failed at ${failedAt.toISOString()}: ${failure ?? 'unknown'}` };
  }
  const age = (now.getTime() - (succeededAt?.getTime() ?? 0)) / 1000;
  const detail = `checked at ${succeededAt?.toISOString() ?? 'never'}`;
  return { ok: age < everySeconds * SELF_CHECKS_MISSED, detail };
}
