import type { CatalogueProblem } from '../catalogue.ts';
import { clashes, complain, whereabouts } from '../declared.ts';
import type { Declared } from '../declared.ts';
import type { Declarations } from '../declarations.ts';
import { isLoopback } from '../loopback.ts';
import { isPlaceholder } from '../setting-references.ts';
import type { Target } from '../target.ts';

/** What is wrong with targets, alone and beside each other. */
export function targetProblems(all: Declarations): CatalogueProblem[] {
  const targets = [...all.targets.entries.values()];
  return [
    ...targets.flatMap((target) => [...tlsProblems(target), ...loginProblems(target)]),
    ...clashes(targets, ({ backend }) => `${backend.mount}/${backend.config}`, sameConfig),
  ];
}

function tlsProblems(target: Declared<Target>): CatalogueProblem[] {
  const { client, server, endpoints, tls } = target.value;
  const problems: CatalogueProblem[] = [];
  const hosts = [(server ?? client).host, ...endpoints.map((endpoint) => endpoint.host)];
  const remote = hosts.find((host) => !staysHere(host));
  if (tls === 'disable' && remote !== undefined) {
    const problem = `is off although "${remote}" is not loopback`;
    problems.push(complain(target, ['tls'], problem, 'Set tls: verify-full, with a ca_file.'));
  }
  if (client.sslmode === 'disable' && !staysHere(client.host)) {
    const problem = `is off although "${client.host}" is not loopback`;
    problems.push(complain(target, ['client', 'sslmode'], problem, 'Set sslmode: verify-full.'));
  }
  return problems;
}

function staysHere(host: string): boolean {
  return isPlaceholder(host) || isLoopback(host);
}

/** The three logins have different rights, and none of them may be a group that scopes hand out. */
function loginProblems(target: Declared<Target>): CatalogueProblem[] {
  const { admin, guard, prover, groups } = target.value;
  const used = new Map<string, string>(groups.map((group) => [group, 'a group']));
  const logins = { admin, guard, prover };
  return Object.entries(logins).flatMap(([field, login]) => {
    if (!login) return [];
    const other = used.get(login.username);
    used.set(login.username, `the ${field}`);
    if (other === undefined) return [];
    const remedy = 'Give guard, prover, admin and groups a role each.';
    const problem = `is the same role as ${other}`;
    return [complain(target, [field, 'username'], problem, remedy)];
  });
}

function sameConfig(target: Declared<Target>, earlier: Declared<Target>): CatalogueProblem {
  return complain(
    target,
    ['backend', 'config'],
    `is the mount and config of "${earlier.value.name}" too (${whereabouts(earlier)})`,
    'Give each target a config of its own.',
  );
}

/** What is lawful but probably not meant. */
export function targetWarnings(all: Declarations): CatalogueProblem[] {
  return [...all.targets.entries.values()].flatMap((target) => {
    const { sslmode } = target.value.client;
    if (sslmode !== 'require' && sslmode !== 'verify-ca') return [];
    const problem = 'does not make clients check which server answers';
    return [complain(target, ['client', 'sslmode'], problem, 'Set sslmode: verify-full.')];
  });
}
