import type { Readiness } from './broker.ts';
import { READINESS_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/** Asks ledger, backend and targets, each for a bounded time. Ready: exchanges can be granted. */
export async function readiness(parts: BrokerParts): Promise<Readiness> {
  const [ledger, backend, targets] = await Promise.all([
    within(parts, async () => {
      const { not_dead_alarm_seconds, not_settled_alarm_seconds } =
        parts.catalogue.current().limits;
      return parts.ledger.counts({
        notDeadSeconds: not_dead_alarm_seconds,
        notSettledSeconds: not_settled_alarm_seconds,
      });
    }),
    within(parts, () => parts.probe.health()),
    Promise.all(parts.targets.names().map((name) => targetReadiness(parts, name))),
  ]);
  const health = backend ?? { state: 'unreachable' as const, detail: 'no answer in time' };
  return {
    // A target out of reach is shown, but takes this replica out of service for nobody else.
    ready: ledger !== undefined && health.state === 'ready',
    ledger: { ok: ledger !== undefined, detail: ledger ? 'reachable' : 'cannot be reached' },
    backend: health,
    targets,
    late: ledger ? { notDeadInTime: ledger.notDeadInTime, notSettled: ledger.notSettled } : null,
  };
}

async function targetReadiness(
  parts: BrokerParts,
  name: string,
): Promise<Readiness['targets'][number]> {
  const access = parts.targets.access(name);
  if (!access) return { name, ok: true, detail: 'no guard: the backend alone ends its leases' };
  const now = await within(parts, () => access.guard.now());
  if (!now) return { name, ok: false, detail: 'cannot be reached' };
  const skewSeconds = (now.getTime() - parts.clock.now().getTime()) / 1000;
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
