import { z } from 'zod';
import type { SecretText } from '../../foundation/secret-text.ts';

/** One lease as the REST API shows it to operators: what the story needs of it. */
export type LeaseView = {
  readonly id: string;
  readonly state: string;
  readonly revocability: string;
  readonly endCause: string | undefined;
  readonly evidence: unknown;
  readonly backendLeaseId: string;
};

export type OperatorView = { lease(id: string): Promise<LeaseView> };

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
  return {
    async lease(id) {
      const response = await fetch(`${broker}/v1/leases/${id}`, {
        headers: { authorization: `Bearer ${(await token()).reveal()}` },
      });
      if (!response.ok) throw new Error(`the broker answered ${response.status}`);
      const lease = Lease.parse(await response.json());
      return {
        id: lease.id,
        state: lease.state,
        revocability: lease.revocability,
        endCause: lease.end_cause ?? undefined,
        evidence: lease.evidence ?? undefined,
        backendLeaseId: lease.backend.lease_id ?? '',
      };
    },
  };
}
