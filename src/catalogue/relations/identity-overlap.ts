import type { Agent } from '../agent.ts';
import type { CatalogueProblem } from '../catalogue.ts';
import { complain, whereabouts } from '../declared.ts';
import type { Declared } from '../declared.ts';

/**
 * Pairs of agents that one and the same token could match: such a token would be refused, so the
 * second of them would never work. Two rules with different texts for one claim cannot overlap.
 */
export function identityOverlaps(agents: readonly Declared<Agent>[]): CatalogueProblem[] {
  const exact = new Map<string, Declared<Agent>[]>();
  const patterns: Declared<Agent>[] = [];
  const problems: CatalogueProblem[] = [];
  for (const agent of agents) {
    const { issuer, subject } = agent.value.identity;
    const isPattern = subject.endsWith('/*');
    const rivals = isPattern
      ? [...patterns, ...[...exact.values()].flat()]
      : [...patterns, ...(exact.get(`${issuer} ${subject}`) ?? [])];
    const rival = rivals.find((other) => overlap(agent.value, other.value));
    if (rival) problems.push(overlapProblem(agent, rival));
    if (isPattern) patterns.push(agent);
    else append(exact, `${issuer} ${subject}`, agent);
  }
  return problems;
}

function overlap(a: Agent, b: Agent): boolean {
  return (
    a.identity.issuer === b.identity.issuer &&
    subjectsOverlap(a.identity.subject, b.identity.subject) &&
    !claimsExclude(a.identity.claims ?? {}, b.identity.claims ?? {})
  );
}

function subjectsOverlap(a: string, b: string): boolean {
  if (a.endsWith('/*')) return covers(a, b) || (b.endsWith('/*') && covers(b, a));
  return b.endsWith('/*') ? covers(b, a) : a === b;
}

/** `spiffe://d/a/*` covers `spiffe://d/a/x` and `spiffe://d/a/x/*`, not `spiffe://d/a`. */
function covers(pattern: string, subject: string): boolean {
  const prefix = pattern.slice(0, -1);
  return subject.startsWith(prefix) && subject.length > prefix.length;
}

function claimsExclude(a: Record<string, string>, b: Record<string, string>): boolean {
  return Object.entries(a).some(([claim, text]) => Object.hasOwn(b, claim) && b[claim] !== text);
}

function overlapProblem(agent: Declared<Agent>, rival: Declared<Agent>): CatalogueProblem {
  return complain(
    agent,
    ['identity', 'subject'],
    `a token that matches this agent could also match "${rival.value.id}" (${whereabouts(rival)})`,
    'Tell them apart by subject, or by different values of one claim in both.',
  );
}

function append<Item>(map: Map<string, Item[]>, key: string, item: Item): void {
  const list = map.get(key);
  if (list) list.push(item);
  else map.set(key, [item]);
}
