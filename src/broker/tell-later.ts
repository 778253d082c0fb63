import { LedgerUnreachable } from '../ledger/ledger.ts';
import { TELL_AGAIN_MS, TELL_FOR_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * Says to the ledger, behind the answer, what it may not have heard: an ending that its caller was
 * told has failed, though the loss may have been that of the answer only. Without this such a lease
 * would wait for its claim to lapse, or for its deadline. Gives up after a while; by then the
 * deadlines of the sweep have what is left. `work` must bear repetition.
 */
function tellLater(parts: BrokerParts, what: string, work: () => Promise<unknown>): void {
  parts.background.run(what, async () => {
    const until = parts.clock.monotonicMs() + TELL_FOR_MS;
    for (;;) {
      await parts.clock.sleep(TELL_AGAIN_MS);
      try {
        await work();
        return;
      } catch (error) {
        const again = error instanceof LedgerUnreachable && parts.clock.monotonicMs() < until;
        if (!again) throw error;
      }
    }
  });
}

/**
 * Does the work now; where the ledger cannot be reached, rejects and goes on behind the answer,
 * with `then` after it.
 */
export async function nowOrLater<Value>(
  parts: BrokerParts,
  what: string,
  work: () => Promise<Value>,
  then?: (value: Value) => Promise<unknown>,
): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LedgerUnreachable) {
      tellLater(parts, what, async () => {
        const value = await work();
        await then?.(value);
      });
    }
    throw error;
  }
}
