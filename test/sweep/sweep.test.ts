import { afterEach, describe, expect, test } from '@jest/globals';
import type { SweepPass } from '../../src/broker/broker.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { createLog } from '../../src/foundation/log.ts';
import { createMetrics } from '../../src/foundation/metrics.ts';
import type { LedgerCounts } from '../../src/ledger/ledger.ts';
import { startSweep } from '../../src/sweep/sweep.ts';
import type { Sweep } from '../../src/sweep/sweep.ts';

const idle: SweepPass = {
  claimed: 0,
  died: 0,
  settling: 0,
  late: 0,
  tasksTimedOut: 0,
  endedByName: 0,
  more: false,
};
const counts: LedgerCounts = {
  byState: { minting: 0, active: 3, revoking: 1, revoked: 0 },
  notDeadInTime: 1,
  notSettled: 0,
  residue: 0,
  now: new Date('2026-01-02T03:04:05Z'),
};

const running: Sweep[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((sweep) => sweep.stop()));
});

function begin(pass: () => Promise<SweepPass>, count = () => Promise.resolve(counts)) {
  const lines: string[] = [];
  const log = createLog('debug', { write: (line: string) => void lines.push(line) });
  const metrics = createMetrics();
  const broker = { sweep: pass, counts: count };
  const sweep = startSweep({ broker, log, metrics, clock: systemClock });
  running.push(sweep);
  return { sweep, lines, metrics };
}

const seconds = (count: number) => systemClock.sleep(count * 1000);

describe('the sweep', () => {
  test('passes within the first second, and again each second', async () => {
    let passes = 0;
    begin(() => {
      passes++;
      return Promise.resolve(idle);
    });
    await seconds(2.3);
    expect(passes).toBeGreaterThanOrEqual(2);
    expect(passes).toBeLessThanOrEqual(3);
  });

  test('goes on at once while there is more', async () => {
    let left = 30;
    begin(() => Promise.resolve({ ...idle, claimed: 1, more: --left > 0 }));
    await seconds(1.2);
    expect(left).toBeLessThanOrEqual(0);
  });

  test('never begins a pass while one is under way', async () => {
    let now = 0;
    let most = 0;
    begin(async () => {
      most = Math.max(most, ++now);
      await seconds(1.4);
      now--;
      return idle;
    });
    await seconds(3.2);
    expect(most).toBe(1);
  });

  test('goes on after a pass that failed, and logs the kind but not the message', async () => {
    let passes = 0;
    const { lines, metrics } = begin(() => {
      passes++;
      return Promise.reject(new RangeError('postgresql://someone:hunter2@db'));
    });
    await seconds(2.2);
    expect(passes).toBeGreaterThanOrEqual(2);
    const text = lines.join('');
    expect(text).toContain('RangeError');
    expect(text).not.toContain('hunter2');
    expect((await metrics.render()).body).toMatch(/sweep_passes_total\{outcome="failed"\} [12]/);
  });

  test('shows the counts of the ledger as gauges', async () => {
    const { metrics } = begin(() => Promise.resolve(idle));
    await seconds(1.2);
    const { body } = await metrics.render();
    expect(body).toContain('mayfly_leases{state="active"} 3');
    expect(body).toContain('mayfly_leases_not_dead_in_time 1');
    expect(body).toContain('mayfly_leases_counted_timestamp_seconds 1767323045');
  });

  test('goes on passing while a count is not answered, and begins no other', async () => {
    let passes = 0;
    let counts = 0;
    const { sweep } = begin(
      () => {
        passes++;
        return Promise.resolve(idle);
      },
      async () => {
        counts++;
        await seconds(3.5);
        throw new Error('the ledger says nothing');
      },
    );
    await seconds(3.2);
    expect(passes).toBeGreaterThanOrEqual(2);
    expect(counts).toBe(1);
    await sweep.stop();
  });

  test('logs a count that fails, and stops when the one under way has ended', async () => {
    let answered = false;
    const { sweep, lines } = begin(
      () => Promise.resolve(idle),
      async () => {
        await seconds(1.5);
        answered = true;
        throw new RangeError('postgresql://someone:hunter2@db');
      },
    );
    await seconds(1.2);
    await sweep.stop();
    expect(answered).toBe(true);
    expect(lines.join('')).toMatch(/RangeError.*leases were not counted/);
    expect(lines.join('')).not.toContain('hunter2');
  });

  test('stops: waits for the pass under way and begins no other', async () => {
    let begun = 0;
    let ended = 0;
    const { sweep } = begin(async () => {
      begun++;
      await seconds(0.5);
      ended++;
      return { ...idle, more: true };
    });
    await seconds(1.1);
    await sweep.stop();
    const whenStopped = begun;
    expect(ended).toBe(begun);
    await seconds(1.2);
    expect(begun).toBe(whenStopped);
  });

  test('a pass by hand answers with its figures and rejects as the use case does', async () => {
    const { sweep } = begin(() => Promise.resolve({ ...idle, died: 2 }));
    await expect(sweep.passNow()).resolves.toMatchObject({ died: 2 });
    const broken = begin(() => Promise.reject(new Error('no')));
    await expect(broken.sweep.passNow()).rejects.toThrow('no');
  });
});
