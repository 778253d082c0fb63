import { createHash } from 'node:crypto';
import { canonicalJson } from '../foundation/canonical-json.ts';
import type { Json } from '../foundation/canonical-json.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { LIVE_STATES } from '../ledger/lease-states.ts';
import type { Lease } from '../ledger/lease.ts';
import type { ExchangeFacts } from '../ledger/ledger.ts';
import type { DeclaredTask } from './declare-task.ts';
import { KEY_RETRY_SECONDS } from './margins.ts';

/** By which a request that is sent again is known. */
export type RequestIdentity = {
  readonly requestSha256: Buffer;
  /** Absent where no Idempotency-Key was given. */
  readonly keySha256: Buffer | undefined;
};

/** SHA-256 over what was asked for as it was declared, without tokens, in canonical JSON. */
export function requestHash(
  declared: DeclaredTask,
  scope: string | null,
  ttlSeconds: number | null,
): Buffer {
  return sha256({ scope, task: { ...declared }, ttl: ttlSeconds });
}

/** A key is one instance's: another copy of the agent may use the same one. */
export function keyHash(instance: string, key: string | null): Buffer | undefined {
  return key === null ? undefined : sha256([instance, key]);
}

function sha256(value: Json): Buffer {
  return createHash('sha256').update(canonicalJson(value)).digest();
}

/**
 * What a retry with the same Idempotency-Key is decided by: the lease that it replaces does not
 * count against the agent's cap. Refuses while that exchange is under way, and where the key stands
 * for another request. Pure: it runs under the agent's lock, before the policy.
 */
export function withoutReplaced(
  facts: ExchangeFacts,
  requestSha256: Buffer,
): Result<ExchangeFacts, Failure> {
  const { earlier } = facts;
  if (earlier === null) return succeed(facts);
  if (!earlier.requestSha256.equals(requestSha256)) {
    const detail = 'this key was used for another request; take a new key for each request';
    return fail(failure('idempotency_key_reused', detail, { field: 'Idempotency-Key' }));
  }
  if (isUnderWay(earlier.lease, facts.now)) {
    const detail = 'an exchange with this key is still under way; ask again';
    return fail(
      failure('idempotency_key_in_flight', detail, {
        field: 'Idempotency-Key',
        retryAfterSeconds: KEY_RETRY_SECONDS,
      }),
    );
  }
  const counted = LIVE_STATES.some((state) => state === earlier.lease.state);
  return succeed(counted ? { ...facts, openLeases: facts.openLeases - 1 } : facts);
}

/** Past the mint deadline its replica is taken for dead. */
function isUnderWay(lease: Lease, now: Date): boolean {
  return lease.state === 'minting' && now < lease.mintDeadline;
}
