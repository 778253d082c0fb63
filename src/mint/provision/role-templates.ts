import { z } from 'zod';
import { ListReply } from '../replies.ts';
import type { Administrator } from './administrator.ts';
import type { BackendDesign } from './backend-design.ts';
import { doubtful, fine, wrong } from './finding.ts';
import type { Finding } from './finding.ts';

/** The statements of a role of OpenBao's database engine. */
export type RoleTemplate = {
  readonly creation: readonly string[];
  readonly revocation: readonly string[];
};

/** Roles of one mount that are read; a mount of ours has one a scope. */
const ROLES_READ_MAX = 200;

const RoleReply = z.looseObject({
  data: z.looseObject({
    creation_statements: z.array(z.string()).nullish(),
    revocation_statements: z.array(z.string()).nullish(),
  }),
});

/** A privilege on an object; a membership (`grant the_group to "..."`) has no ON. */
const GRANT_ON_OBJECT = /\bgrant\b[^;]*?\bon\b[^;]*?\bto\b/is;

/**
 * Why credentials of this template cannot be ended well; empty: nothing is wrong with it. Each
 * privilege on an object is a row that stays in that object's access list until it is revoked there,
 * makes the role impossible to drop, and slows every look at the catalogue.
 */
export function faultsOfTemplate({ creation, revocation }: RoleTemplate): readonly string[] {
  const faults: string[] = [];
  if (creation.some((statement) => GRANT_ON_OBJECT.test(statement))) {
    faults.push('its creation statements grant privileges on objects: grant a group role instead');
  }
  if (creation.some((statement) => /\balter\s+default\s+privileges\b/i.test(statement))) {
    faults.push('its creation statements alter default privileges, which outlive the role');
  }
  if (!revocation.some((statement) => statement.trim() !== '')) {
    faults.push(
      "it has no revocation statements: OpenBao's own are slow, and fail on what is owned",
    );
  }
  return faults;
}

/** Looks at every role below our mounts, whoever made it: what it makes has to be ended by us. */
export async function examineTemplates(
  admin: Administrator,
  { mounts, scopes }: BackendDesign,
): Promise<readonly Finding[]> {
  const check = 'role_template';
  const findings: Finding[] = [];
  for (const mount of mounts) {
    const listed = await admin.list(`${mount}/roles`);
    const reply = ListReply.safeParse(listed.ok ? listed.value : { data: { keys: [] } });
    for (const role of reply.success ? reply.data.data.keys.slice(0, ROLES_READ_MAX) : []) {
      const path = `${mount}/roles/${role}`;
      const read = RoleReply.safeParse(await admin.read(path).then((it) => it.ok && it.value));
      if (!read.success) continue;
      const faults = faultsOfTemplate({
        creation: read.data.data.creation_statements ?? [],
        revocation: read.data.data.revocation_statements ?? [],
      });
      const isOurs = scopes.some((scope) => scope.mount === mount && scope.role === role);
      const finding = isOurs ? wrong : doubtful;
      const remedy = isOurs ? 'run "mayfly backend apply"' : 'mend its statements, or delete it';
      for (const fault of faults) findings.push(finding(check, `${path}: ${fault}`, remedy));
    }
  }
  return findings.length > 0 ? findings : [fine(check, 'what each role makes can be ended')];
}
