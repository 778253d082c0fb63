import type { Clock } from '../../foundation/clock.ts';
import type { SecretText } from '../../foundation/secret-text.ts';
import type { LoginMethod } from '../login-method.ts';
import { openAdministrator } from './administrator.ts';
import type { Administrator, BackendAddress } from './administrator.ts';
import type { BackendDesign } from './backend-design.ts';
import { examineIdentity } from './examine-identity.ts';
import { examineLeftovers } from './examine-leftovers.ts';
import { examineServer, namespaceFinding } from './examine-server.ts';
import { examineTtls } from './examine-ttls.ts';
import { fine, wrong } from './finding.ts';
import type { Finding } from './finding.ts';
import type { PieceKind } from './piece.ts';
import { planBackend } from './plan-backend.ts';
import type { PlannedStep } from './plan-backend.ts';
import { examineTemplates } from './role-templates.ts';

export type Examination = {
  readonly at: BackendAddress;
  readonly token: SecretText;
  readonly design: BackendDesign;
  /** How the broker logs in; null leaves the checks of its identities out, and says so. */
  readonly logins: { readonly minter: LoginMethod; readonly reaper: LoginMethod } | null;
  readonly clock: Clock;
};

/**
 * The OpenBao half of `mayfly doctor`: is the server fit, does it hold what the design says, and
 * can Mayfly's identities do their part and no more. Changes nothing that stays. A check that could
 * not be made is a finding that is not ok.
 *
 * @throws when the CA file cannot be read or the address is none.
 */
export async function examineBackend(examination: Examination): Promise<readonly Finding[]> {
  const { at, token, design, logins, clock } = examination;
  const admin = await openAdministrator(at, token);
  // Health, audit and configuration are the server's, whatever namespace we live in.
  const root = await openAdministrator({ ...at, namespace: undefined }, token);
  try {
    const server = await examineServer(root, at, clock);
    if (server.some(({ check, ok }) => check === 'backend_reachable' && !ok)) return server;
    return [
      ...server,
      await namespaceFinding(at, token),
      ...(await examineDesign(admin, design)),
      ...(await examineTtls(admin, design)),
      ...(await examineLeftovers(admin, design)),
      ...(await examineTemplates(admin, design)),
      ...(logins === null
        ? [wrong('identity', 'the logins of minter and reaper are not set', 'set them and repeat')]
        : [
            ...(await examineIdentity(admin, design, { identity: 'minter', login: logins.minter })),
            ...(await examineIdentity(admin, design, { identity: 'reaper', login: logins.reaper })),
          ]),
    ];
  } finally {
    admin.close();
    root.close();
  }
}

async function examineDesign(
  admin: Administrator,
  design: BackendDesign,
): Promise<readonly Finding[]> {
  const plan = await planBackend(admin, design);
  if (plan.ok) return plan.value.steps.map(findingOf);
  const { at, message } = plan.failure;
  return [wrong('design', `${at} cannot be read: ${message}`, "use an administrator's token")];
}

/** What breaks when a piece is not as it must be. */
const HARM: Readonly<Record<PieceKind, string>> = {
  auth_method: 'minter and reaper cannot log in',
  mount: 'leases below it cannot be told from foreign ones',
  mark_mount: 'a restored or cloned ledger is not noticed',
  database_config: 'credentials are not named, bounded or guarded as promised',
  database_role: 'credentials are not made, ended or bounded as promised',
  scope_policy: 'a batch token may do more or less than mint one credential',
  token_role: 'batch tokens may do more, live longer or leave traces',
  identity_policy: 'an identity may do more or less than its part',
  approle: 'an identity may do more or less than its part, or loses its login',
};

function findingOf({ piece, action, drift, rotates }: PlannedStep): Finding {
  const { kind, path } = piece;
  switch (action) {
    case 'unchanged':
      return fine(kind, `${path} is as it must be`);
    case 'create':
      return wrong(kind, `${path} is missing: ${HARM[kind]}`, 'run "mayfly backend apply"');
    case 'change': {
      const root = rotates ? '; its root password is still known to people' : '';
      const fields = drift.map(({ field, wanted, seen }) => `${field} is ${seen}, not ${wanted}`);
      const seen = `${path}: ${fields.join('; ')}${root}: ${HARM[kind]}`;
      return wrong(kind, seen, 'run "mayfly backend apply"');
    }
    case 'refused': {
      const fields = drift.map(({ field, seen }) => `${field} is ${seen}`).join('; ');
      const remedy = kind.endsWith('_policy')
        ? 'give each installation a namespace of its own, or remove this policy if nobody needs it'
        : 'name another mount in the catalogue, or remove this one if nobody needs it';
      return wrong(kind, `${path} belongs to somebody else: ${fields}`, remedy);
    }
  }
}
