import { within } from '../foundation/clock.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import type { AlarmBounds, LedgerCounts } from '../ledger/ledger.ts';
import type { LateWork, Readiness } from './broker.ts';
import { lateWork } from './late-work.ts';
import { ALARMS_OLD_MS, COUNT_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** The alarms as this process last evaluated them. */
export type Alarms = {
  late: LateWork | null;
  /** When that was, or since when one is due, by the steady clock; null: it never was here. */
  evaluatedAtMs: number | null;
};

export function notEvaluated(): Alarms {
  return { late: null, evaluatedAtMs: null };
}

/** From here on silence is counted. A replica that does not sweep evaluates none. */
export function alarmsAreDue(alarms: Alarms, { clock }: Pick<BrokerParts, 'clock'>): void {
  alarms.evaluatedAtMs ??= clock.monotonicMs();
}

/**
 * Counts what is not closed for gauges and alarms. Its two questions to the ledger share one bounded
 * wait: the next evaluation must not stand behind a ledger that says nothing. Rejects with
 * LedgerUnreachable where the counts do not come in time.
 */
export async function evaluateAlarms(parts: BrokerParts, alarms: Alarms): Promise<LedgerCounts> {
  const { clock } = parts;
  const begunAtMs = clock.monotonicMs();
  alarmsAreDue(alarms, parts);
  const bounds = alarmBounds(parts);
  const counted = await within(clock, COUNT_WAIT_MS, parts.ledger.counts(bounds));
  if (counted === undefined) throw new LedgerUnreachable('The leases were not counted in time.');
  const leftMs = COUNT_WAIT_MS - (clock.monotonicMs() - begunAtMs);
  alarms.late = await lateWork(parts, counted, alarms.late, { bounds, waitMs: leftMs });
  alarms.evaluatedAtMs = begunAtMs;
  return counted;
}

function alarmBounds({ catalogue }: BrokerParts): AlarmBounds {
  const { not_dead_alarm_seconds, not_settled_alarm_seconds } = catalogue.current().limits;
  return {
    notDeadSeconds: not_dead_alarm_seconds,
    notSettledSeconds: not_settled_alarm_seconds,
  };
}

/** For readiness: whether the figures can be trusted. Silence would look as if nothing were late. */
export function alarmState(
  { late, evaluatedAtMs }: Alarms,
  { clock }: Pick<BrokerParts, 'clock'>,
): Readiness['alarms'] {
  if (evaluatedAtMs === null) return { ok: true, detail: 'not evaluated here' };
  const ageMs = clock.monotonicMs() - evaluatedAtMs;
  const seconds = Math.round(ageMs / 1000);
  if (ageMs > ALARMS_OLD_MS) {
    return { ok: false, detail: `not evaluated for ${seconds} s: what is late is not known` };
  }
  return { ok: true, detail: late === null ? 'not evaluated yet' : `evaluated ${seconds} s ago` };
}
