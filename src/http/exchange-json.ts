import type { ExchangeGrant } from '../broker/broker.ts';
import { grantedDetails } from './task-json.ts';

/** What `issued_token_type` says of a database credential; not a name of the IETF's. */
export const DATABASE_TOKEN_TYPE = 'urn:mayfly:token-type:database';

/**
 * The answer of RFC 8693 2.2.1. The only place where a credential becomes text again: its result
 * goes to the caller and nowhere else.
 */
export function exchangeJson({ credential, lease, task, granted, ...grant }: ExchangeGrant) {
  return {
    access_token: credential.uri.reveal(),
    issued_token_type: DATABASE_TOKEN_TYPE,
    token_type: 'N_A',
    expires_in: grant.expiresInSeconds,
    scope: lease.scope,
    authorization_details: [grantedDetails(task, granted)],
    task_id: task.id,
    lease_id: lease.id,
    ...(lease.replacesLeaseId === null ? {} : { replaces_lease_id: lease.replacesLeaseId }),
    revocability: lease.revocability,
    ...(lease.revocabilityReason === null ? {} : { revocability_reason: lease.revocabilityReason }),
    deadline: lease.deadline.toISOString(),
    credential: {
      kind: credential.kind,
      username: credential.username,
      password: credential.password.reveal(),
      host: credential.host,
      port: credential.port,
      database: credential.database,
      sslmode: credential.sslmode,
    },
    decision_id: grant.decisionId,
  };
}
