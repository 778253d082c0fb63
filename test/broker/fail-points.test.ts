import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { faultCounter, parseFaults } from '../../src/foundation/fail-point.ts';
import { FAIL_POINTS } from '../../src/foundation/fail-points.ts';
import { failPointsOfCode } from './support/fail-points-of-code.ts';

const LIST = 'src/foundation/fail-points.ts';

/** Set by hand where a use case was changed: writes the list instead of comparing it. */
const WRITE = process.env['MAYFLY_WRITE_FAIL_POINTS'] === '1';

test('the list of fail points is that of the code (MAYFLY_WRITE_FAIL_POINTS=1 writes it)', () => {
  const found = failPointsOfCode();
  if (WRITE) {
    const entries = found.map((point) => `  '${point}',\n`).join('');
    const text = readFileSync(LIST, 'utf8');
    writeFileSync(
      LIST,
      text.replace(/\[\n[^]*?\n?\](?= as const)/, () => `[\n${entries}]`),
    );
    return;
  }
  expect([...FAIL_POINTS].sort()).toEqual([...found].sort());
}, 30_000);

test('faults are read, and refused with what is wrong', () => {
  expect(parseFaults('exchange.open_lease.before:kill')).toEqual({
    ok: true,
    value: [
      {
        point: 'exchange.open_lease.before',
        nth: 1,
        andLater: false,
        action: 'kill',
        afterMs: 0,
      },
    ],
  });
  const several = parseFaults(
    'sweep.guard_end.after@3+:fail, exchange.minter_credential.sent:stop~5',
  );
  expect(several).toMatchObject({
    value: [
      { nth: 3, andLater: true, action: 'fail' },
      { action: 'stop', afterMs: 5 },
    ],
  });
  expect(parseFaults('exchange.open_lease:kill')).toMatchObject({ ok: false });
  expect(parseFaults('exchange.open_lease.before')).toMatchObject({ ok: false });
  expect(parseFaults('exchange.answer.after:fail')).toMatchObject({ ok: false });
  expect(parseFaults(Array(17).fill('sweep.guard_end.after:kill').join())).toMatchObject({
    ok: false,
  });
});

test('a fault comes at its time, and no other time unless told so', () => {
  const parsed = parseFaults('sweep.guard_end.before@2:stop,sweep.guard_end.after@2+:fail');
  const at = faultCounter(parsed.ok ? parsed.value : []);
  const actions = (point: string) => [1, 2, 3].map(() => at(point)?.action);
  expect(actions('sweep.guard_end.before')).toEqual([undefined, 'stop', undefined]);
  expect(actions('sweep.guard_end.after')).toEqual([undefined, 'fail', 'fail']);
  expect(actions('exchange.guard_end.before')).toEqual([undefined, undefined, undefined]);
});
