import { afterAll, beforeAll } from '@jest/globals';
import { FIRST, ledgerContract, SECOND } from './contract.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer } from './support/ledger-server.ts';

let server: LedgerServer;

beforeAll(async () => {
  server = await startLedgerServer();
});
afterAll(async () => {
  await server.stop();
});

ledgerContract(async () => {
  const ledger = await server.ledger();
  return {
    first: ledger.connect(FIRST),
    second: ledger.connect(SECOND),
    shiftClock: (seconds) => ledger.shiftClock(seconds),
    close: () => ledger.close(),
  };
});
