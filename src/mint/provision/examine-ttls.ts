import { recordIn } from './administrator.ts';
import type { Administrator } from './administrator.ts';
import type { BackendDesign } from './backend-design.ts';
import { fine, wrong } from './finding.ts';
import type { Finding } from './finding.ts';
import { ROLE_MARGIN_SECONDS } from './pieces.ts';

/** OpenBao cuts a TTL that is above the mount's or the server's maximum, and says so in a warning. */
export async function examineTtls(
  admin: Administrator,
  { mounts, scopes }: BackendDesign,
): Promise<readonly Finding[]> {
  const longest = (among: typeof scopes) =>
    Math.max(0, ...among.map((scope) => scope.longestSeconds)) + ROLE_MARGIN_SECONDS;
  const places = [
    // Batch tokens live at most as long as the token store lets them.
    { path: 'sys/auth/token/tune', needed: longest(scopes) },
    ...mounts.map((mount) => ({
      path: `sys/mounts/${mount}/tune`,
      needed: longest(scopes.filter((scope) => scope.mount === mount)),
    })),
  ];
  return Promise.all(places.map(({ path, needed }) => ttlFinding(admin, path, needed)));
}

async function ttlFinding(admin: Administrator, path: string, needed: number): Promise<Finding> {
  const check = 'backend_max_ttl';
  const read = recordIn(path, await admin.read(path));
  const most = Number((read.ok ? read.value : null)?.['max_lease_ttl'] ?? Number.NaN);
  if (Number.isNaN(most)) {
    return wrong(check, `${path} cannot be read`, 'run "mayfly backend apply" first');
  }
  const seen = `${path}: max_lease_ttl is ${most} s, ${needed} s are needed`;
  if (most >= needed) return fine(check, seen);
  return wrong(
    check,
    seen,
    "raise the server's max_lease_ttl, or shorten the scopes' longest life",
  );
}
