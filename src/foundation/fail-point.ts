import { FAIL_POINTS } from './fail-points.ts';
import type { FailPoint } from './fail-points.ts';
import { fail, succeed } from './result.ts';
import type { Result } from './result.ts';

/**
 * What happens at a fail point. `kill`: SIGKILL to ourselves; `stop`: SIGSTOP, until somebody sends
 * SIGCONT; `fail`: the call fails as if it had never left (`before`) or its answer was lost
 * (`after`).
 */
export type FaultAction = 'kill' | 'stop' | 'fail';

/** One armed fail point, as tests of crashes write it: `name[@nth[+]]:action[~milliseconds]`. */
export type Fault = {
  readonly point: FailPoint;
  /** Counted from 1, within this process. */
  readonly nth: number;
  /** At every later time too. */
  readonly andLater: boolean;
  readonly action: FaultAction;
  /** Milliseconds between reaching the point and the action. */
  readonly afterMs: number;
};

/** Faults in one setting, at most; more would be no test of anything. */
const FAULTS_MAX = 16;

const FAULT = /^([a-z_.]+)(?:@(\d{1,6})(\+)?)?:(kill|stop|fail)(?:~(\d{1,5}))?$/;

/** Reads a comma-separated list of faults; fails with what is wrong with it. */
export function parseFaults(text: string): Result<readonly Fault[], string> {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > FAULTS_MAX) return fail(`names more than ${FAULTS_MAX} faults`);
  const faults: Fault[] = [];
  for (const part of parts) {
    const fault = parseFault(part);
    if (typeof fault === 'string') return fail(fault);
    faults.push(fault);
  }
  return succeed(faults);
}

function parseFault(part: string): Fault | string {
  const [matched, name, nth, andLater, action, afterMs] = FAULT.exec(part) ?? [];
  if (matched === undefined) return 'must be name[@nth[+]]:kill|stop|fail[~ms], comma-separated';
  const point = FAIL_POINTS.find((known) => known === name);
  if (point === undefined) return 'names a fail point that docs/reliability.md does not list';
  const onlyProcess = point.includes('.answer.') || point.endsWith('.sent');
  if (action === 'fail' && onlyProcess) return 'asks for `fail` where there is no call to fail';
  return {
    point,
    nth: Math.max(1, Number(nth ?? 1)),
    andLater: andLater !== undefined,
    action: action as FaultAction,
    afterMs: Number(afterMs ?? 0),
  };
}

/**
 * Counts how often each point is reached, and says what is to happen there now; undefined: nothing.
 * Names that are no fail points count for nothing.
 */
export function faultCounter(faults: readonly Fault[]): (point: string) => Fault | undefined {
  const reached = new Map<string, number>();
  return (point) => {
    const times = (reached.get(point) ?? 0) + 1;
    reached.set(point, times);
    return faults.find(
      (fault) =>
        fault.point === point && (fault.andLater ? times >= fault.nth : times === fault.nth),
    );
  };
}
