import { z } from 'zod';
import type { SecretText } from '../../foundation/secret-text.ts';
import { LeaseList, leaseTable } from '../lease-table.ts';

/** One lease as the REST API shows it to operators: what the story needs of it. */
export type LeaseView = {
  readonly id: string;
  readonly state: string;
  readonly revocability: string;
  readonly endCause: string | undefined;
  readonly evidence: unknown;
  readonly backendLeaseId: string;
};

export type OperatorView = {
  lease(id: string): Promise<LeaseView>;
  /** What `mayfly leases` prints: the newest of all states. */
  table(limit: number): Promise<string>;
  /** Ends a lease and waits for its death; answers its state then. */
  revoke(id: string, reason: string): Promise<string>;
};

const Lease = z.object({
  id: z.string(),
  state: z.string(),
  revocability: z.string(),
  end_cause: z.string().nullable(),
  evidence: z.unknown(),
  backend: z.object({ lease_id: z.string().nullable() }),
});

/** Looks as an operator does, with a fresh token each time. */
export function operatorView(broker: string, token: () => Promise<SecretText>): OperatorView {
  const ask = async (path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${broker}${path}`, {
      method: body ? 'POST' : 'GET',
      headers: {
        authorization: `Bearer ${(await token()).reveal()}`,
        'content-type': 'application/json',
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (!response.ok) throw new Error(`the broker answered ${response.status}`);
    return response.json();
  };
  return {
    async lease(id) {
      const lease = Lease.parse(await ask(`/v1/leases/${id}`));
      return {
        id: lease.id,
        state: lease.state,
        revocability: lease.revocability,
        endCause: lease.end_cause ?? undefined,
        evidence: lease.evidence ?? undefined,
        backendLeaseId: lease.backend.lease_id ?? '',
      };
    },
    table: async (limit) =>
      leaseTable(LeaseList.parse(await ask(`/v1/leases?state=all&limit=${limit}`))),
    async revoke(id, reason) {
      const answer = z.object({ state: z.string() });
      return answer.parse(await ask(`/v1/leases/${id}/revoke`, { reason })).state;
    },
  };
}
