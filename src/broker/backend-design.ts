import { designBackend } from '../mint/provision/backend-design.ts';
import type { BackendDesign } from '../mint/provision/backend-design.ts';
import {
  creationStatements,
  renewStatements,
  revocationStatements,
} from '../target/postgres/statements.ts';
import type { BackendParts, LedgerIdentity } from './backend-parts.ts';

/** What OpenBao must hold, with the statements of the targets' functions. */
export function backendDesign(
  { catalogue }: Pick<BackendParts, 'catalogue'>,
  { installation }: LedgerIdentity,
): BackendDesign {
  return designBackend({
    installation,
    scopes: catalogue.scopes.values(),
    targets: catalogue.targets,
    statements: (scope) => ({
      creation: creationStatements(installation, scope.group),
      revocation: revocationStatements(installation),
      renew: renewStatements(),
    }),
    caFileOf: ({ ca_file }) => ca_file,
  });
}
