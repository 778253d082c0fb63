import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { VaultHttpError } from './vault-http-error.ts';

/** Seconds after which asking a sealed or unreachable OpenBao again makes sense. */
const RETRY_SECONDS = 5;

/** OpenBao's word for it, in every version and in HashiCorp Vault. */
const SEALED = 'Vault is sealed';

/** How OpenBao begins its 400 for a revocation that the target did not take. */
const REVOKE_FAILED = 'failed to revoke entry';

/**
 * What a failed call to OpenBao means to the caller of Mayfly. The details tell states and
 * remedies and never quote OpenBao, whose texts may name hosts and users: they go to the log.
 */
export function backendFailure(error: VaultHttpError): Failure {
  if (isSealed(error)) {
    return failure('backend_sealed', 'the secret backend is sealed; ask its operators to unseal', {
      retryAfterSeconds: RETRY_SECONDS,
    });
  }
  if (error.errors?.some((text) => text.startsWith(REVOKE_FAILED)) === true) {
    return failure('target_unreachable', 'the backend could not end it at the target; tried again');
  }
  if (error.status === 429) {
    return failure('backend_unreachable', 'the secret backend limits our rate; try again later', {
      retryAfterSeconds: error.retryAfterSeconds ?? RETRY_SECONDS,
    });
  }
  if (refusedByOpenBao(error)) {
    return failure(
      'mint_refused',
      `the secret backend refused (status ${error.status}); run "mayfly doctor"`,
    );
  }
  return failure('backend_unreachable', `the secret backend failed (${stateOf(error)})`, {
    retryAfterSeconds: RETRY_SECONDS,
  });
}

/** Statuses with which OpenBao says that it did nothing, provided that the words are its own. */
const REFUSALS: ReadonlySet<number> = new Set([400, 403, 404, 405, 413, 429]);

/** True when OpenBao itself, and no proxy before it, refused to do what was asked. */
export function refusedByOpenBao(error: VaultHttpError): boolean {
  return error.status !== null && REFUSALS.has(error.status) && error.errors !== null;
}

export function isSealed(error: VaultHttpError): boolean {
  return error.status === 503 && error.errors?.some((text) => text.includes(SEALED)) === true;
}

function stateOf(error: VaultHttpError): string {
  if (error.kind === 'unsent') return 'no connection';
  if (error.kind === 'no_reply') return 'no answer';
  if (error.kind === 'rubbish') return 'its answer was not understood';
  return `status ${error.status}`;
}
