import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { AgentCaller, OperatorCaller } from '../identity/principal.ts';
import type { EndCause, Lease } from '../ledger/lease.ts';
import { endOnce, endUntilDead } from './end-until-dead.ts';
import { withLedger } from './ledger-faults.ts';
import type { BrokerParts } from './parts.ts';
import { withPermission } from './permission.ts';
import { nowOrLater } from './tell-later.ts';

/** An operator ends one lease, with a reason, and waits for its death. */
export function revokeLease(
  parts: BrokerParts,
  caller: OperatorCaller,
  leaseId: string,
  reason: string,
  waitSeconds: number,
): Promise<Result<Lease, Failure>> {
  return withPermission(caller, 'leases.revoke', () =>
    withLedger<Lease>(async () => {
      const lease = await fence(parts, leaseId, 'operator', reason, caller.name);
      if (!lease) return fail(failure('not_found', 'no such lease', { field: 'lease_id' }));
      const [after] = await endUntilDead(parts, [lease], waitSeconds);
      return succeed(after ?? lease);
    }),
  );
}

/**
 * RFC 7009: the holder hands back a credential. Answers once it is fenced; its death follows
 * behind. A credential that is unknown, or another agent's, changes nothing and says nothing.
 */
export function revokeCredential(
  parts: BrokerParts,
  caller: AgentCaller,
  credential: SecretText,
): Promise<Result<void, Failure>> {
  return withLedger(async () => {
    const known = await parts.ledger.leaseByCredential(credential.sha256());
    if (known?.agentId !== caller.agent.id) return succeed(undefined);
    const by = `agent:${caller.agent.id}`;
    const lease = await fence(parts, known.id, 'revoked_by_holder', null, by);
    // It may be handed back again and again: all of that shares one attempt.
    if (lease) {
      parts.background.run('end a returned credential', () => endUntilDead(parts, [lease], 0));
    }
    return succeed(undefined);
  });
}

/** The answer of an exchange did not reach its caller: nobody holds the credential, so it goes. */
export async function answerLost(parts: BrokerParts, leaseId: string): Promise<void> {
  await withLedger(async () => {
    const reason = 'the caller was gone before the answer';
    const lease = await fence(parts, leaseId, 'answer_lost', reason, 'mayfly');
    if (lease) parts.background.run('end an unanswered credential', () => endNow(parts, lease));
    return succeed(undefined);
  });
}

/** Counted where it is fenced, so that a repetition is not. */
async function fence(
  parts: BrokerParts,
  leaseId: string,
  cause: EndCause,
  reason: string | null,
  by: string,
): Promise<Lease | null> {
  const end = async () => {
    const ended = await parts.ledger.endLease({ leaseId, cause, reason, by });
    if (ended?.fencedNow) parts.metrics.ended(cause);
    return ended;
  };
  const ended = await nowOrLater(
    parts,
    'end a lease',
    end,
    async (late) => late && endNow(parts, late.lease),
  );
  return ended?.lease ?? null;
}

function endNow(parts: BrokerParts, lease: Lease): Promise<readonly Lease[]> {
  return endOnce(parts, [lease]);
}
