import type { Log } from '../foundation/log.ts';
import type { Metrics } from '../foundation/metrics.ts';
import { isOff } from './clock-skew.ts';

/** What was measured of one clock, against the ledger's. */
export type ClockState = {
  /** `broker` is this process, `backend` OpenBao; targets go by their name. */
  readonly part: 'broker' | 'backend' | 'target';
  readonly name: string;
  /** Ahead of the ledger; negative: behind. */
  readonly skewSeconds: number;
};

export type ClockWatch = {
  /** Takes a measurement into metric and log; a line of the log when it crosses the bound. */
  saw(state: ClockState): void;
};

/** Remembers which clocks are off, so that the log tells of each change once. */
export function openClockWatch({ log, metrics }: { log: Log; metrics: Metrics }): ClockWatch {
  const off = new Set<string>();
  return {
    saw({ part, name, skewSeconds }) {
      metrics.clockSkew(part, name, skewSeconds);
      const key = `${part} ${name}`;
      const what = { part, name, skewSeconds };
      if (isOff(skewSeconds) && !off.has(key)) {
        off.add(key);
        log.error(what, "a clock is off the ledger's: deadlines there are off by as much");
      } else if (!isOff(skewSeconds) && off.delete(key)) {
        log.info(what, "a clock agrees with the ledger's again");
      }
    },
  };
}
