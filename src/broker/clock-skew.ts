import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { CLOCKS_APART_MS, CLOCKS_RETRY_SECONDS, CLOCK_SKEW_ALARM_MS } from './margins.ts';

/**
 * A clock of another part as it was read: at some moment between asking and the answer, both by our
 * own steady clock, it showed `at` or up to `resolutionMs` more.
 */
export type ClockRead = {
  readonly at: Date;
  readonly resolutionMs: number;
  readonly askedAtMs: number;
  readonly answeredAtMs: number;
};

/** Reads a clock. Rejects as `ask` does. */
export async function readClock(
  clock: Clock,
  ask: () => Promise<Date>,
  resolutionMs = 0,
): Promise<ClockRead> {
  const askedAtMs = clock.monotonicMs();
  const at = await ask();
  return { at, resolutionMs, askedAtMs, answeredAtMs: clock.monotonicMs() };
}

/** The clock of this process. */
export function ownClock(clock: Clock): ClockRead {
  const nowMs = clock.monotonicMs();
  return { at: clock.now(), resolutionMs: 0, askedAtMs: nowMs, answeredAtMs: nowMs };
}

/**
 * Seconds by which `other` is ahead of `reference` (negative: behind), at least: 0 where what was
 * read can be explained by the time that the reading took.
 */
export function skewSeconds(reference: ClockRead, other: ClockRead): number {
  const [low, high] = offsets(reference);
  const [otherLow, otherHigh] = offsets(other);
  const least = otherLow - high;
  const most = otherHigh - low;
  if (least > 0) return least / 1000;
  return most < 0 ? most / 1000 : 0;
}

/** Between these lies what the clock shows minus our steady one. */
function offsets(read: ClockRead): readonly [number, number] {
  const at = read.at.getTime();
  return [at - read.answeredAtMs, at + read.resolutionMs - read.askedAtMs];
}

/** True where operators must be told. */
export function isOff(seconds: number): boolean {
  return Math.abs(seconds) * 1000 > CLOCK_SKEW_ALARM_MS;
}

/**
 * Why nothing can be granted while broker and ledger disagree about the time: tokens are judged by
 * the one clock and deadlines by the other. Undefined where they agree well enough.
 *
 * @param ledgerNow the ledger's clock, just read
 */
export function clocksApart(clock: Clock, ledgerNow: Date): Failure | undefined {
  const apartMs = Math.abs(clock.now().getTime() - ledgerNow.getTime());
  if (apartMs <= CLOCKS_APART_MS) return undefined;
  const seconds = Math.round(apartMs / 1000);
  return failure('clocks_apart', `the clocks of broker and ledger are ${seconds} s apart`, {
    retryAfterSeconds: CLOCKS_RETRY_SECONDS,
  });
}
