import { MINTER_NAME, REAPER_NAME } from '../backend-names.ts';
import { ListReply } from '../replies.ts';
import type { Administrator } from './administrator.ts';
import type { BackendDesign } from './backend-design.ts';
import { doubtful, fine } from './finding.ts';
import type { Finding } from './finding.ts';

/** Names that Mayfly gives to policies and token roles begin so. */
const PREFIX = 'mayfly-';

/** Names that are shown in one finding. */
const SHOWN_MAX = 5;

/**
 * What the catalogue no longer names, or somebody put below our mounts: nothing of it ends or makes
 * a credential of ours, but it is a door that nobody looks at. `apply` never removes anything.
 */
export async function examineLeftovers(
  admin: Administrator,
  design: BackendDesign,
): Promise<readonly Finding[]> {
  const { mounts, configs, scopes } = design;
  const ours = scopes.map(({ tokenRole }) => tokenRole);
  const findings: Finding[] = [];
  for (const mount of mounts) {
    const roles = scopes.filter((scope) => scope.mount === mount).map(({ role }) => role);
    const names = configs.filter((config) => config.mount === mount).map(({ config }) => config);
    findings.push(await leftIn(admin, `${mount}/roles`, () => true, roles));
    findings.push(await leftIn(admin, `${mount}/config`, () => true, names));
  }
  const mayfly = (name: string) => name.startsWith(PREFIX);
  findings.push(await leftIn(admin, 'auth/token/roles', mayfly, ours));
  const policies = [...ours, MINTER_NAME, REAPER_NAME];
  findings.push(await leftIn(admin, 'sys/policies/acl', mayfly, policies));
  return findings;
}

async function leftIn(
  admin: Administrator,
  path: string,
  concerns: (name: string) => boolean,
  wanted: readonly string[],
): Promise<Finding> {
  const check = 'backend_leftovers';
  const result = await admin.list(path);
  const reply = ListReply.safeParse(result.ok ? result.value : { data: { keys: [] } });
  if ((!result.ok && result.failure.status !== 404) || !reply.success) {
    return doubtful(check, `${path} cannot be listed`, "use an administrator's token");
  }
  const left = reply.data.data.keys.filter((name) => concerns(name) && !wanted.includes(name));
  if (left.length === 0) return fine(check, `${path}: nothing but what the catalogue names`);
  const more = left.length > SHOWN_MAX ? ` and ${left.length - SHOWN_MAX} more` : '';
  const seen = `${path}: ${left.slice(0, SHOWN_MAX).join(', ')}${more}, which no scope names`;
  return doubtful(check, seen, 'delete it when no lease of it lives any more');
}
