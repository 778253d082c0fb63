import { within } from '../foundation/clock.ts';
import { succeed } from '../foundation/result.ts';
import type { LateWork, Readiness } from '../broker/broker.ts';
import type { Endpoint } from './endpoint.ts';
import type { InFlight } from './in-flight.ts';
import type { HttpParts } from './parts.ts';
import { SERVER_BOUNDS } from './server-bounds.ts';

/** `GET /healthz`: the process answers; nothing behind it is asked. */
export const healthEndpoint: Endpoint = () =>
  Promise.resolve(succeed({ status: 200, body: { status: 'ok' } }));

/**
 * `GET /readyz`: 200 or 503, with what was seen of ledger, backend and targets. Callers that come
 * while a check is under way share it, so that probes cannot be used to load what they look at.
 */
export function readyEndpoint({ broker, clock }: HttpParts, inFlight: InFlight): Endpoint {
  let underWay: Promise<Readiness | null> | undefined;
  const check = async () => {
    try {
      return (await within(clock, SERVER_BOUNDS.readinessMs, broker.readiness())) ?? null;
    } finally {
      underWay = undefined;
    }
  };
  return async () => {
    if (inFlight.draining())
      return succeed({ status: 503, body: { ready: false, detail: 'stopping' } });
    const readiness = await (underWay ??= check());
    if (readiness === null) {
      return succeed({ status: 503, body: { ready: false, detail: 'the check took too long' } });
    }
    return succeed({ status: readiness.ready ? 200 : 503, body: readinessJson(readiness) });
  };
}

function readinessJson({
  ready,
  ledger,
  backend,
  targets,
  clocks,
  quarantine,
  late,
  alarms,
  paused,
}: Readiness) {
  return {
    ready,
    ledger,
    backend,
    targets,
    clocks: clocks.map(({ part, name, skewSeconds, ok }) => ({
      part,
      ...(name === '' ? {} : { name }),
      skew_seconds: skewSeconds,
      ok,
    })),
    quarantine,
    late: late === null ? null : lateJson(late),
    alarms,
    paused: paused.map(({ target, work, reason, forMs }) => ({
      target,
      work,
      reason,
      for_seconds: Math.round(forMs / 1000),
    })),
  };
}

function lateJson({ notDeadInTime, notSettled, residue, targets }: LateWork) {
  return {
    not_dead_in_time: notDeadInTime,
    not_settled: notSettled,
    residue,
    targets: targets.map((late) => ({
      target: late.target,
      not_dead_in_time: late.notDeadInTime,
      not_settled: late.notSettled,
      reason: late.reason,
    })),
  };
}
