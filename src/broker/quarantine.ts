import type { Failure } from '../foundation/failure.ts';
import { succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import { LedgerUnreachable } from '../ledger/ledger.ts';
import { SELECTS_NOTHING } from '../ledger/stop.ts';
import type { Quarantine, QuarantineAgent } from '../ledger/stop.ts';
import type { ManyEnded, QuarantineEnding, Released } from './broker.ts';
import { endSelected } from './end-selected.ts';
import { isKnownAgent, noSuchAgent } from './known-agent.ts';
import { withLedger } from './ledger-faults.ts';
import { TELL_AGAIN_MS } from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';
import { viewAgent } from './show-agents.ts';
import { nowOrLater } from './tell-later.ts';

/**
 * Stops an agent. First its state, under the lock that every exchange of it takes: from then on
 * nothing can be granted (invariant I7). Then all that it has is fenced, and ended while the caller
 * waits. Doing it again fences nothing more, and waits for what is still dying.
 */
export function quarantine(
  parts: BrokerParts,
  caller: OperatorCaller,
  agentId: string,
  reason: string,
  waitSeconds: number,
): Promise<Result<QuarantineEnding, Failure>> {
  return withPermission(caller, 'agents.quarantine', () =>
    withLedger<QuarantineEnding>(async () => {
      if (!(await isKnownAgent(parts, agentId))) return noSuchAgent('agent_id');
      const asked = { agentId, by: caller.name, reason };
      const until = parts.clock.monotonicMs() + waitSeconds * 1000;
      const stopped = await nowOrLater(
        parts,
        'quarantine an agent',
        () => patiently(parts, until, () => parts.ledger.quarantineAgent(asked)),
        (done) => endAllOf(parts, agentId, done.quarantine, 0),
      );
      const leases = await endAllOf(parts, agentId, stopped.quarantine, waitSeconds);
      return succeed({ agentId, ...stopped, leases });
    }),
  );
}

/** Lets new exchanges pass. Nothing that was ended lives again. */
export function release(
  parts: BrokerParts,
  caller: OperatorCaller,
  agentId: string,
  reason: string,
): Promise<Result<Released, Failure>> {
  return withPermission(caller, 'agents.quarantine', () =>
    withLedger<Released>(async () => {
      if (!(await isKnownAgent(parts, agentId))) return noSuchAgent('agent_id');
      const asked: QuarantineAgent = { agentId, by: caller.name, reason };
      const changed = await parts.ledger.releaseAgent(asked);
      return succeed({ ...(await viewAgent(parts, agentId)), changed });
    }),
  );
}

/** Fences and ends all that an agent has, in the name of its quarantine. */
export function endAllOf(
  parts: BrokerParts,
  agentId: string,
  { by, reason }: Quarantine,
  waitSeconds: number,
): Promise<ManyEnded> {
  const selector = { ...SELECTS_NOTHING, agentId };
  return endSelected(parts, { selector, cause: 'quarantine', by, reason }, waitSeconds);
}

/** An exchange of a stopped process may hold the agent's lock for some seconds. */
async function patiently<Value>(
  parts: BrokerParts,
  until: number,
  work: () => Promise<Value>,
): Promise<Value> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const again = error instanceof LedgerUnreachable && parts.clock.monotonicMs() < until;
      if (!again) throw error;
      await parts.clock.sleep(TELL_AGAIN_MS);
    }
  }
}
