import type { Environment } from './environment.ts';
import type { SettingProblem } from './setting.ts';
import { SETTINGS_TABLE } from './settings-table.ts';
import { FAMILY_NAME, NAME_IN_FAMILY } from './settings-reader.ts';

const PREFIX = 'MAYFLY_';

/** Differences (letters) up to which a name is taken for a typing error of another. */
const TYPING_ERRORS_MAX = 4;

/**
 * Names in the environment that begin as ours do and mean nothing: a misspelt setting that is
 * ignored would leave its default in force without a word.
 */
export function unknownSettings(env: Environment): readonly SettingProblem[] {
  const known = knownNames();
  const names = Object.keys(env).filter(
    (name) =>
      name.startsWith(PREFIX) &&
      !known.fixed.has(name) &&
      !known.families.some((family) => isMember(name, family)) &&
      !setByKubernetes(name, env[name]),
  );
  return names.sort().map((name) => {
    const near = nearest(name, [...known.fixed]);
    const hint = near === undefined ? '' : `Did you mean ${near}? `;
    return {
      name,
      problem: 'is not a setting',
      remedy: `${hint}docs/settings.md lists all; remove or rename it.`,
    };
  });
}

function knownNames(): { readonly fixed: ReadonlySet<string>; readonly families: string[] } {
  const all = SETTINGS_TABLE.flatMap(({ settings }) => settings);
  const names = all.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name]));
  return {
    fixed: new Set(names.filter((name) => !name.includes(FAMILY_NAME))),
    families: names.filter((name) => name.endsWith(FAMILY_NAME)),
  };
}

function isMember(name: string, family: string): boolean {
  const prefix = family.replace(FAMILY_NAME, '');
  return name.startsWith(prefix) && NAME_IN_FAMILY.test(name.slice(prefix.length));
}

/**
 * Kubernetes puts the address of every Service of a namespace into each container, under names made
 * from the Service's: one that is called `mayfly` would otherwise keep the broker from starting.
 */
function setByKubernetes(name: string, value: string | undefined): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value ?? ''))
  );
}

function nearest(name: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .filter(({ distance }) => distance <= TYPING_ERRORS_MAX)
    .sort((a, b) => a.distance - b.distance);
  if (best) return best.candidate;
  const longer = candidates.filter((candidate) => candidate.startsWith(`${name}_`));
  return longer.length === 1 ? longer[0] : undefined;
}

/** Insertions, deletions and replacements that turn one word into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (letter === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
