import type { Readiness } from './broker.ts';
import { READINESS_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** Asks ledger, backend and targets, each for a bounded time. Ready: exchanges can be granted. */
export async function readiness(
  parts: BrokerParts,
  lastCounts: Readiness['late'],
): Promise<Readiness> {
  const [ledger, backend, targets] = await Promise.all([
    within(parts, () => ledgerClock(parts)),
    within(parts, () => parts.probe.health()),
    Promise.all(parts.targets.names().map((name) => targetClock(parts, name))),
  ]);
  const health = backend ?? { state: 'unreachable' as const, detail: 'no answer in time' };
  return {
    // A target out of reach is shown, but takes this replica out of service for nobody else.
    ready: ledger !== undefined && health.state === 'ready',
    ledger: { ok: ledger !== undefined, detail: ledger ? 'reachable' : 'cannot be reached' },
    backend: health,
    targets: targets.map((target) => targetReadiness(parts, target, ledger)),
    late: lastCounts,
    paused: pausedWork(parts),
  };
}

function pausedWork({ circuits }: BrokerParts): Readiness['paused'] {
  const ending = circuits.ending.paused().map((one) => ({ ...one, work: 'end' as const }));
  const settling = circuits.settling.paused().map((one) => ({ ...one, work: 'settle' as const }));
  return [...ending, ...settling];
}

/** A clock that was read, and the process's own steady one at that moment. */
type ClockRead = { readonly at: Date; readonly readAtMs: number };

async function ledgerClock(parts: BrokerParts): Promise<ClockRead> {
  const at = await parts.ledger.now();
  return { at, readAtMs: parts.clock.monotonicMs() };
}

type TargetClock = {
  readonly name: string;
  readonly guarded: boolean;
  readonly clock: ClockRead | undefined;
};

async function targetClock(parts: BrokerParts, name: string): Promise<TargetClock> {
  const access = parts.targets.access(name);
  if (!access) return { name, guarded: false, clock: undefined };
  const clock = await within(parts, async () => {
    const at = await access.guard.now();
    return { at, readAtMs: parts.clock.monotonicMs() };
  });
  return { name, guarded: true, clock };
}

function targetReadiness(
  parts: BrokerParts,
  { name, guarded, clock }: TargetClock,
  ledger: ClockRead | undefined,
): Readiness['targets'][number] {
  if (!guarded) {
    return { name, ok: true, detail: 'no guard: the backend alone ends its leases' };
  }
  if (!clock) return { name, ok: false, detail: 'cannot be reached' };
  if (!ledger) return { name, ok: true, detail: 'reachable' };
  const ledgerThen = ledger.at.getTime() + (clock.readAtMs - ledger.readAtMs);
  const skewSeconds = (clock.at.getTime() - ledgerThen) / 1000;
  parts.metrics.clockSkew(name, skewSeconds);
  return { name, ok: true, detail: `reachable, clock skew ${skewSeconds.toFixed(3)} s` };
}

/** The value, or undefined where it failed or took too long. */
async function within<Value>(
  parts: BrokerParts,
  ask: () => Promise<Value>,
): Promise<Value | undefined> {
  const waited = new AbortController();
  const late = parts.clock.sleep(READINESS_WAIT_MS, waited.signal).then(() => undefined);
  try {
    return await Promise.race([ask(), late]);
  } catch {
    return undefined;
  } finally {
    waited.abort();
  }
}
