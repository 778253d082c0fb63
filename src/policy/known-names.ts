import type { CatalogueProblem } from '../catalogue/catalogue.ts';
import { didYouMean, listed } from '../catalogue/near-miss.ts';
import type { Policy } from './policy-set.ts';
import { positionOfIndex } from './text-position.ts';

/** The names that policies may refer to, by entity type. */
export type KnownNames = Readonly<Record<string, ReadonlySet<string>>>;

/** What a catalogue offers to policies; no more of it is needed here. */
type Named = {
  readonly agents: ReadonlyMap<string, { readonly groups?: readonly string[] | undefined }>;
  readonly scopes: ReadonlyMap<string, { readonly groups?: readonly string[] | undefined }>;
  readonly taskTypes: ReadonlyMap<string, unknown>;
};

/** The names of a catalogue's agents, scopes, task types and groups. */
export function knownNames({ agents, scopes, taskTypes }: Named): KnownNames {
  return {
    Agent: new Set(agents.keys()),
    AgentGroup: new Set([...agents.values()].flatMap((agent) => agent.groups ?? [])),
    Scope: new Set(scopes.keys()),
    ScopeGroup: new Set([...scopes.values()].flatMap((scope) => scope.groups ?? [])),
    TaskType: new Set(taskTypes.keys()),
  };
}

/** A literal such as `Agent::"report-writer"`, or a whole comment or string, which is passed over. */
const LITERALS = /\/\/[^\n]*|\b([A-Z][A-Za-z]*)\s*::\s*"((?:[^"\\]|\\.)*)"|"(?:[^"\\]|\\.)*"/g;

/**
 * References to entries that no catalogue file declares. Cedar cannot know them: to it, a policy
 * about an agent that does not exist is a policy that never applies.
 */
export function unknownNames(policy: Policy, known: KnownNames): CatalogueProblem[] {
  return [...policy.text.matchAll(LITERALS)].flatMap((match) => {
    const [, type, name] = match;
    const names = type === undefined ? undefined : known[type];
    if (type === undefined || name === undefined || !names || names.has(name)) return [];
    const remedy = `${didYouMean(name, names)}Declared are: ${listed(names)}.`;
    return [
      {
        file: policy.file,
        ...positionOfIndex(policy.text, match.index),
        field: policy.id,
        problem: `${type}::"${name}" is declared nowhere in the catalogue`,
        remedy,
      },
    ];
  });
}
