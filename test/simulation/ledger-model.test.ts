import { systemClock } from '../../src/foundation/clock.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { FIRST, ledgerContract, SECOND } from '../ledger/contract.ts';
import { directLedger } from './models/ledger-access.ts';
import { ModelLedger } from './models/ledger-model.ts';

/** Seconds, as the real one is tried with. */
const CLAIM_SECONDS = 15;

/** Ids are in the order of their milliseconds, and two openings of the real one take longer. */
function paced(ledger: Ledger): Ledger {
  return {
    ...ledger,
    openLease: async (...call) => {
      await systemClock.sleep(2);
      return ledger.openLease(...call);
    },
  };
}

ledgerContract(() => {
  let aheadMs = 0;
  const model = new ModelLedger(() => new Date(systemClock.now().getTime() + aheadMs));
  return Promise.resolve({
    first: paced(directLedger(model, { name: FIRST, claimSeconds: CLAIM_SECONDS })),
    second: paced(directLedger(model, { name: SECOND, claimSeconds: CLAIM_SECONDS })),
    shiftClock: (seconds: number) => {
      aheadMs = seconds * 1000;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  });
});
