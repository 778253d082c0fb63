import { within } from '../foundation/clock.ts';
import type { BackendHealth } from '../mint/backend.ts';
import type { Readiness } from './broker.ts';
import { clocksApart, isOff, ownClock, readClock, skewSeconds } from './clock-skew.ts';
import type { ClockRead } from './clock-skew.ts';
import type { ClockState, ClockWatch } from './clock-watch.ts';
import { alarmState } from './evaluate-alarms.ts';
import type { Alarms } from './evaluate-alarms.ts';
import { quarantineState } from './keep-checking.ts';
import type { Checked } from './keep-checking.ts';
import { READINESS_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** OpenBao tells whole seconds. */
const BACKEND_RESOLUTION_MS = 1_000;

/**
 * Asks ledger, backend and targets, each for a bounded time, and measures their clocks on the way.
 * Ready: exchanges can be granted.
 */
export async function readiness(
  parts: BrokerParts,
  clocks: ClockWatch,
  alarms: Alarms,
  checked: Checked,
): Promise<Readiness> {
  const [ledger, backend, targets] = await Promise.all([
    inTime(parts, () => readClock(parts.clock, () => parts.ledger.now())),
    inTime(parts, () => backendClock(parts)),
    Promise.all(parts.targets.names().map((name) => targetClock(parts, name))),
  ]);
  const apart = ledger && clocksApart(parts.clock, ledger.at);
  const { state, detail } = backend?.health ?? NO_ANSWER;
  const clockStates = ledger ? measured(parts, ledger, backend?.clock, targets) : [];
  for (const one of clockStates) clocks.saw(one);
  return {
    // A target out of reach is shown, but takes this replica out of service for nobody else.
    ready: ledger !== undefined && !apart && state === 'ready',
    ledger: {
      ok: ledger !== undefined,
      detail: apart?.detail ?? (ledger ? 'reachable' : 'cannot be reached'),
    },
    backend: { state, detail },
    targets: targets.map((target) => targetReadiness(target, clockStates)),
    clocks: clockStates.map((one) => ({ ...one, ok: !isOff(one.skewSeconds) })),
    quarantine: quarantineState(checked, parts.catalogue.current().limits.self_check_seconds),
    late: alarms.late,
    alarms: alarmState(alarms, parts),
    paused: pausedWork(parts),
  };
}

function pausedWork({ circuits }: BrokerParts): Readiness['paused'] {
  const ending = circuits.ending.paused().map((one) => ({ ...one, work: 'end' as const }));
  const settling = circuits.settling.paused().map((one) => ({ ...one, work: 'settle' as const }));
  return [...ending, ...settling];
}

const NO_ANSWER: BackendHealth = { state: 'unreachable', detail: 'no answer in time' };

async function backendClock(
  parts: BrokerParts,
): Promise<{ readonly health: BackendHealth; readonly clock: ClockRead | undefined }> {
  const askedAtMs = parts.clock.monotonicMs();
  const health = await parts.probe.health();
  const answeredAtMs = parts.clock.monotonicMs();
  const clock = health.clock && {
    at: health.clock,
    resolutionMs: BACKEND_RESOLUTION_MS,
    askedAtMs,
    answeredAtMs,
  };
  return { health, clock };
}

type TargetClock = {
  readonly name: string;
  readonly guarded: boolean;
  readonly clock: ClockRead | undefined;
};

async function targetClock(parts: BrokerParts, name: string): Promise<TargetClock> {
  const access = parts.targets.access(name);
  if (!access) return { name, guarded: false, clock: undefined };
  const clock = await inTime(parts, () => readClock(parts.clock, () => access.guard.now()));
  return { name, guarded: true, clock };
}

/** Every clock that was read, against the ledger's: the one by which deadlines are decided. */
function measured(
  parts: BrokerParts,
  ledger: ClockRead,
  backend: ClockRead | undefined,
  targets: readonly TargetClock[],
): readonly ClockState[] {
  const state = (part: ClockState['part'], name: string, clock: ClockRead): ClockState => ({
    part,
    name,
    skewSeconds: skewSeconds(ledger, clock),
  });
  return [
    state('broker', '', ownClock(parts.clock)),
    ...(backend ? [state('backend', '', backend)] : []),
    ...targets.flatMap(({ name, clock }) => (clock ? [state('target', name, clock)] : [])),
  ];
}

function targetReadiness(
  { name, guarded, clock }: TargetClock,
  clocks: readonly ClockState[],
): Readiness['targets'][number] {
  if (!guarded) {
    return { name, ok: true, detail: 'no guard: the backend alone ends its leases' };
  }
  if (!clock) return { name, ok: false, detail: 'cannot be reached' };
  const skew = clocks.find((one) => one.part === 'target' && one.name === name)?.skewSeconds;
  if (skew === undefined) return { name, ok: true, detail: 'reachable' };
  return { name, ok: true, detail: `reachable, clock skew ${skew.toFixed(3)} s` };
}

/** The value, or undefined where it failed or took too long. */
function inTime<Value>(parts: BrokerParts, ask: () => Promise<Value>): Promise<Value | undefined> {
  return within(parts.clock, READINESS_WAIT_MS, ask()).catch(() => undefined);
}
