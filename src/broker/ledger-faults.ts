import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { CursorInvalid, LedgerBusy, LedgerUnreachable } from '../ledger/ledger.ts';

/** Seconds after which asking again is worth it. */
const LEDGER_RETRY_SECONDS = 2;

export const LEDGER_UNREACHABLE: Failure = failure(
  'ledger_unreachable',
  'the ledger cannot be reached; try again',
  { retryAfterSeconds: LEDGER_RETRY_SECONDS },
);

const LEDGER_BUSY: Failure = failure(
  'ledger_unreachable',
  'too many requests wait for the ledger at this replica already; try again',
  { retryAfterSeconds: LEDGER_RETRY_SECONDS },
);

/** Runs a use case; a ledger out of reach becomes its failure, everything else still throws. */
export async function withLedger<Value>(
  work: () => Promise<Result<Value, Failure>>,
): Promise<Result<Value, Failure>> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LedgerBusy) return fail(LEDGER_BUSY);
    if (error instanceof LedgerUnreachable) return fail(LEDGER_UNREACHABLE);
    if (error instanceof CursorInvalid) {
      return fail(
        failure('parameter_invalid', 'cursor must be one that an earlier page gave', {
          field: 'cursor',
        }),
      );
    }
    throw error;
  }
}
