import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import type { Stop } from '../ledger/stop.ts';
import type { Revocation, RevocationRequest } from './broker.ts';
import { endSelected } from './end-selected.ts';
import { isKnownAgent, noSuchAgent } from './known-agent.ts';
import { withLedger } from './ledger-faults.ts';
import { STOPS_AT_A_TIME, STOP_WAIT_LOOK_MS, STOP_WAIT_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';

/** Seconds: a stop goes as soon as all that it selects is fenced. */
const TOO_MANY_RETRY_SECONDS = 1;

const TOO_MANY_STOPS: Failure = failure(
  'revocation_under_way',
  `nothing was ended: ${STOPS_AT_A_TIME} other revocations are under way, as many as there may be; ask again`,
  { retryAfterSeconds: TOO_MANY_RETRY_SECONDS },
);

/**
 * Ends, once, every lease that the selector selects. A stop is committed first, so that exchanges
 * which come later are refused for the moment; those that came before are waited out, so that each
 * of their leases is in the ledger; then all is fenced, the stop goes, and the deaths are waited
 * for. Exchanges pass again at once: whoever shall not come back is quarantined. An agent that nobody
 * knows is refused, for "nothing was left to end" would be the wrong answer to a misspelt one.
 */
export function revokeSelected(
  parts: BrokerParts,
  caller: OperatorCaller,
  { selector, reason, dryRun }: RevocationRequest,
  waitSeconds: number,
): Promise<Result<Revocation, Failure>> {
  return withPermission(caller, 'leases.revoke', () =>
    withLedger<Revocation>(async () => {
      const { agentId } = selector;
      if (agentId !== null && !(await isKnownAgent(parts, agentId))) {
        return noSuchAgent('selector.agent');
      }
      const { open, dying } = await parts.ledger.countSelected(selector, 'revocation');
      if (dryRun) {
        return succeed({ id: null, matching: open, underWay: 0, fenced: 0, dead: 0, dying });
      }
      const stop = { id: parts.ids.uuid(), selector, reason, by: caller.name };
      if (!(await parts.ledger.beginStop(stop, STOPS_AT_A_TIME))) return fail(TOO_MANY_STOPS);
      const underWay = await waitOutExchanges(parts);
      const ending = endSelected(parts, endingOf(stop), waitSeconds, async () => {
        // With an exchange that may still commit, the stop lives on; the sweep ends it.
        if (underWay === 0) await parts.ledger.endStop(stop.id);
      });
      return succeed({ id: stop.id, matching: open, underWay, ...(await ending) });
    }),
  );
}

export function endingOf({ selector, reason, by }: Omit<Stop, 'id'>) {
  return { selector, reason, by, cause: 'revocation' } as const;
}

/** Answers how many are still not done after the longest wait. */
async function waitOutExchanges(parts: BrokerParts): Promise<number> {
  const until = parts.clock.monotonicMs() + STOP_WAIT_MS;
  let older = await parts.ledger.exchangesUnderWay();
  while (older.length > 0 && parts.clock.monotonicMs() < until) {
    await parts.clock.sleep(STOP_WAIT_LOOK_MS);
    const now = new Set(await parts.ledger.exchangesUnderWay());
    older = older.filter((one) => now.has(one));
  }
  return older.length;
}
