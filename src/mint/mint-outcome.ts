import { failure } from '../foundation/failure.ts';
import { SecretText } from '../foundation/secret-text.ts';
import type { MintOutcome } from './backend.ts';
import { backendFailure, isSealed, refusedByOpenBao } from './backend-failure.ts';
import { CredentialReply } from './replies.ts';
import type { VaultResult } from './vault-port.ts';

/**
 * Sorts the answer to `creds/<role>`.
 *
 * A 503 is `unknown`, `Vault is sealed` included: OpenBao gives any error that mentions the seal
 * that status, also one that arose after the user was made, when the lease could not be written
 * any more. So is a 500, a redirect, an answer that we do not understand, and none.
 */
export function mintOutcome(result: VaultResult): MintOutcome {
  if (result.ok) return mintedOr(result.value);
  const error = result.failure;
  if (error.kind === 'unsent') return { kind: 'unsent', failure: backendFailure(error) };
  if (refusedByOpenBao(error)) return { kind: 'refused', failure: backendFailure(error) };
  return { kind: 'unknown', failure: isSealed(error) ? backendFailure(error) : inDoubt() };
}

function mintedOr(body: unknown): MintOutcome {
  const reply = CredentialReply.safeParse(body);
  if (!reply.success) return { kind: 'unknown', failure: inDoubt() };
  const { lease_id, lease_duration, data } = reply.data;
  return {
    kind: 'minted',
    username: data.username,
    password: new SecretText(data.password),
    backendLeaseId: lease_id,
    leaseSeconds: lease_duration,
  };
}

function inDoubt() {
  return failure('mint_unknown', 'whether a credential was made is not known; it is being ended');
}
