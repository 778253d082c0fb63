import { z } from 'zod';
import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { SecretText } from '../../foundation/secret-text.ts';
import { MINTER_NAME, REAPER_NAME } from '../backend-names.ts';
import type { VaultResult } from '../vault-port.ts';
import { problemOf } from './administrator.ts';
import type { Administrator, ProvisionProblem } from './administrator.ts';

/** What the broker needs to log in as one of its identities; each goes into a file of mode 0600. */
export type AppRoleLogin = { readonly roleId: SecretText; readonly secretId: SecretText };

const RoleId = z.object({ data: z.object({ role_id: z.string().min(1) }) });
const SecretId = z.object({ data: z.object({ secret_id: z.string().min(1) }) });

/**
 * Reads the role id and makes a **new** secret id; the ones made before stay valid. Call it only
 * where the broker has none, or to replace one.
 */
export async function issueAppRoleLogin(
  admin: Administrator,
  identity: 'minter' | 'reaper',
): Promise<Result<AppRoleLogin, ProvisionProblem>> {
  const path = `auth/approle/role/${identity === 'minter' ? MINTER_NAME : REAPER_NAME}`;
  const role = parsed(`${path}/role-id`, await admin.read(`${path}/role-id`), RoleId);
  if (!role.ok) return role;
  const secret = parsed(`${path}/secret-id`, await admin.write(`${path}/secret-id`, {}), SecretId);
  if (!secret.ok) return secret;
  return succeed({
    roleId: new SecretText(role.value.data.role_id),
    secretId: new SecretText(secret.value.data.secret_id),
  });
}

function parsed<Reply>(
  at: string,
  result: VaultResult,
  schema: z.ZodType<Reply>,
): Result<Reply, ProvisionProblem> {
  if (!result.ok) return problemOf(at, result.failure);
  const reply = schema.safeParse(result.value);
  if (!reply.success) return fail({ at, message: 'the answer is not understood' });
  return succeed(reply.data);
}
