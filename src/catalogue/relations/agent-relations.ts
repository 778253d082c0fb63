import type { Agent } from '../agent.ts';
import type { CatalogueProblem } from '../catalogue.ts';
import { complain, unknownReference, unknownReferences } from '../declared.ts';
import type { Declared } from '../declared.ts';
import type { Declarations } from '../declarations.ts';
import { identityOverlaps } from './identity-overlap.ts';

/** What is wrong between agents and what they name. */
export function agentProblems(all: Declarations): CatalogueProblem[] {
  const agents = [...all.agents.entries.values()];
  return [...agents.flatMap((agent) => problemsOf(agent, all)), ...identityOverlaps(agents)];
}

function problemsOf(agent: Declared<Agent>, all: Declarations): CatalogueProblem[] {
  const { identity, task_types, scopes } = agent.value;
  return [
    ...unknownReferences(agent, 'task_types', task_types, all.taskTypes),
    ...unknownReferences(agent, 'scopes', scopes, all.scopes),
    ...unknownReference(agent, ['identity', 'issuer'], identity.issuer, all.issuers),
    ...identityProblems(agent, all),
  ];
}

function identityProblems(agent: Declared<Agent>, all: Declarations): CatalogueProblem[] {
  const { issuer: name, subject } = agent.value.identity;
  const issuer = all.issuers.entries.get(name)?.value;
  const problems = subjectProblems(agent, subject);
  if (issuer && issuer.use !== 'workload') {
    problems.push(
      complain(
        agent,
        ['identity', 'issuer'],
        `names the issuer "${name}", whose tokens are for operators`,
        'Name an issuer of use workload.',
      ),
    );
  }
  if (issuer?.kind === 'spiffe' && !subject.startsWith(`spiffe://${issuer.trust_domain}/`)) {
    problems.push(
      complain(
        agent,
        ['identity', 'subject'],
        `is not in the trust domain of the issuer "${name}"`,
        `Begin it with spiffe://${issuer.trust_domain}/.`,
      ),
    );
  }
  return problems;
}

function subjectProblems(agent: Declared<Agent>, subject: string): CatalogueProblem[] {
  const stars = subject.split('*').length - 1;
  if (stars === 0) return [];
  if (stars === 1 && /^spiffe:\/\/[^/]+\/(.*\/)?\*$/.test(subject)) return [];
  return [
    complain(
      agent,
      ['identity', 'subject'],
      'has a * where none may be',
      'Write the exact subject; only a SPIFFE id may end in /*.',
    ),
  ];
}

/** What is lawful but probably not meant. `now` is the process clock's. */
export function agentWarnings(all: Declarations, now: Date | undefined): CatalogueProblem[] {
  return [...all.agents.entries.values()].flatMap((agent) => [
    ...(now === undefined ? [] : endedWarning(agent, now)),
    ...uselessWarnings(agent, all),
  ]);
}

function endedWarning(agent: Declared<Agent>, now: Date): CatalogueProblem[] {
  if (agent.value.ends >= now.toISOString().slice(0, 10)) return [];
  const remedy = 'Move the date if the owner still needs the agent; remove the agent otherwise.';
  return [complain(agent, ['ends'], 'is in the past: the agent may not exchange', remedy)];
}

function uselessWarnings(agent: Declared<Agent>, all: Declarations): CatalogueProblem[] {
  const types = agent.value.task_types.map((name) => all.taskTypes.entries.get(name)?.value);
  const reachable = new Set(types.flatMap((type) => type?.scopes ?? []));
  if (types.includes(undefined)) return [];
  return agent.value.scopes.flatMap((name, index) =>
    reachable.has(name) || !all.scopes.names.has(name)
      ? []
      : [
          complain(
            agent,
            ['scopes', index],
            `no task type of this agent lists the scope "${name}"`,
            'Remove it here, or list it in a task type.',
          ),
        ],
  );
}
