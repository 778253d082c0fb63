import { MARK_RECORD, markMountOf, MINTER_NAME, REAPER_NAME } from '../backend-names.ts';
import { logIn } from '../login-method.ts';
import type { LoggedIn, LoginMethod } from '../login-method.ts';
import { isRecord, recordIn } from './administrator.ts';
import type { Administrator } from './administrator.ts';
import type { BackendDesign } from './backend-design.ts';
import { fine, wrong } from './finding.ts';
import type { Finding } from './finding.ts';

type Identity = { readonly identity: 'minter' | 'reaper'; readonly login: LoginMethod };

/** Logs in as the broker does, looks what that token may do, and gives it back. */
export async function examineIdentity(
  admin: Administrator,
  design: BackendDesign,
  { identity, login }: Identity,
): Promise<readonly Finding[]> {
  const result = await logIn(admin.port, login);
  if (!result.ok) {
    const said = result.failure.cause?.errors?.join('; ') ?? '';
    const remedy = `issue the ${identity} a new login with "mayfly backend apply"`;
    return [wrong(`${identity}_login`, `${result.failure.message} ${said}`.trim(), remedy)];
  }
  const token = result.value;
  const findings = [
    fine(`${identity}_login`, login.kind),
    await policiesFinding(admin, identity, token),
    ...(await capabilityFindings(admin, identity, token, design)),
  ];
  if (token.own) await admin.port.write('auth/token/revoke-self', {}, token);
  return findings;
}

/** A policy that somebody added elsewhere (a group, another role) shows only on the token. */
async function policiesFinding(
  admin: Administrator,
  identity: 'minter' | 'reaper',
  { token }: LoggedIn,
): Promise<Finding> {
  const check = `${identity}_policies`;
  const path = 'auth/token/lookup';
  const read = recordIn(path, await admin.write(path, { token: token.reveal() }));
  if (!read.ok || read.value === null) {
    const why = read.ok ? 'nothing there' : read.failure.message;
    return wrong(check, `the token cannot be looked up: ${why}`, "use an administrator's token");
  }
  const own = identity === 'minter' ? MINTER_NAME : REAPER_NAME;
  const names = [...namesIn(read.value['policies']), ...namesIn(read.value['identity_policies'])];
  const seen = names.join(', ');
  if (names.length === 1 && names[0] === own) return fine(check, seen);
  return wrong(check, `its token has ${seen || 'none'}`, `let it have ${own} and nothing else`);
}

function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

async function capabilityFindings(
  admin: Administrator,
  identity: 'minter' | 'reaper',
  { token }: LoggedIn,
  design: BackendDesign,
): Promise<readonly Finding[]> {
  const needed = identity === 'minter' ? minterNeeds(design) : reaperNeeds(design);
  const forbidden = forbiddenTo(identity, design);
  const body = { token: token.reveal(), paths: [...needed.keys(), ...forbidden] };
  const path = 'sys/capabilities';
  const read = recordIn(path, await admin.write(path, body));
  if (!read.ok || read.value === null) {
    const why = read.ok ? 'nothing there' : read.failure.message;
    return [wrong(`${identity}_rights`, `cannot be read: ${why}`, "use an administrator's token")];
  }
  const has = (at: string) => namesIn(isRecord(read.value) ? read.value[at] : []);
  const missing = [...needed].filter(([at, right]) => !has(at).includes(right));
  const tooMuch = forbidden.filter((at) => has(at).some((right) => right !== 'deny'));
  const remedy = 'run "mayfly backend apply", and look for policies added by hand';
  return [
    missing.length === 0
      ? fine(`${identity}_rights`, `may do its part on ${needed.size} paths`)
      : wrong(`${identity}_rights`, `may not ${listed(missing.map(([at]) => at))}`, remedy),
    tooMuch.length === 0
      ? fine(`${identity}_limits`, `${forbidden.length} other paths are closed to it`)
      : wrong(`${identity}_limits`, `may reach ${listed(tooMuch)}`, remedy),
  ];
}

function minterNeeds({ scopes }: BackendDesign): Map<string, string> {
  return new Map(scopes.map((scope) => [`auth/token/create/${scope.tokenRole}`, 'update']));
}

function reaperNeeds({ installation, mounts }: BackendDesign): Map<string, string> {
  return new Map([
    ['sys/leases/revoke', 'update'],
    ['sys/leases/lookup', 'update'],
    [`${markMountOf(installation)}/data/${MARK_RECORD}`, 'update'],
    ...mounts.map((mount) => [`sys/leases/lookup/${mount}/creds/any/`, 'list'] as const),
  ]);
}

/** What neither may reach, and what is the other's. */
function forbiddenTo(identity: 'minter' | 'reaper', design: BackendDesign): string[] {
  const { mounts, scopes, configs } = design;
  const others = identity === 'minter' ? reaperNeeds(design) : minterNeeds(design);
  return [
    ...others.keys(),
    ...scopes.map((scope) => `${scope.mount}/creds/${scope.role}`),
    ...scopes.map((scope) => `${scope.mount}/roles/${scope.role}`),
    ...configs.map(({ mount, config }) => `${mount}/config/${config}`),
    ...scopes.map((scope) => `auth/token/roles/${scope.tokenRole}`),
    ...mounts.map((mount) => `sys/mounts/${mount}`),
    ...mounts.map((mount) => `sys/leases/revoke-prefix/${mount}`),
    ...mounts.map((mount) => `sys/leases/revoke-force/${mount}`),
    ...[MINTER_NAME, REAPER_NAME].map((name) => `sys/policies/acl/${name}`),
    ...[MINTER_NAME, REAPER_NAME].map((name) => `auth/approle/role/${name}/secret-id`),
    'auth/token/create',
    'auth/token/create-orphan',
    'sys/leases/tidy',
    'sys/auth/approle',
    'sys/audit/any',
    'sys/seal',
    'sys/raw/any',
  ];
}

/** Paths that are named in one finding. */
const LISTED_MAX = 5;

function listed(paths: readonly string[]): string {
  const rest = paths.length - LISTED_MAX;
  return `${paths.slice(0, LISTED_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
