import { expect, test } from '@jest/globals';
import { withLedger } from '../../src/broker/ledger-faults.ts';
import { LedgerBusy, LedgerUnreachable } from '../../src/ledger/ledger.ts';

test.each([
  [new LedgerUnreachable('gone'), 'the ledger cannot be reached; try again'],
  [
    new LedgerBusy('full'),
    'too many requests wait for the ledger at this replica already; try again',
  ],
])('%s: try again, and why', async (thrown, detail) => {
  const outcome = await withLedger(() => Promise.reject(thrown));
  expect(outcome).toMatchObject({
    ok: false,
    failure: { reason: 'ledger_unreachable', detail, retryAfterSeconds: 2 },
  });
});
