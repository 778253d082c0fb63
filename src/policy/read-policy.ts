import type { CatalogueProblem, PolicyFile } from '../catalogue/catalogue.ts';
import { didYouMean } from '../catalogue/near-miss.ts';
import { cedarProblem } from './cedar-problem.ts';
import { cedar } from './cedar.ts';
import type { Policy } from './policy-set.ts';
import { positionOfIndex } from './text-position.ts';

/** The annotations that we understand; another one would be a promise that nobody keeps. */
const ANNOTATIONS = ['id', 'description', 'owner'];

/** As names of catalogue entries: ids reach records, lists and metrics. */
const ID = /^[a-z][a-z0-9-]{0,62}$/;

/** Characters; what is shown to a person who was refused. */
const DESCRIPTION_MAX = 300;

export type PolicyRead =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] };

/** Reads one file: exactly one policy, without template slots, with an `@id`. */
export function readPolicy(source: PolicyFile): PolicyRead {
  const crowd = severalPolicies(source);
  if (crowd) return { ok: false, problems: [crowd] };
  const read = cedar.policyToJson(source.text);
  if (read.type === 'failure') {
    return {
      ok: false,
      problems: read.errors.map((error) => cedarProblem(source, '(syntax)', error)),
    };
  }
  const annotations = read.json.annotations ?? {};
  const problems = annotationProblems(source, annotations);
  const { id, description } = annotations;
  if (problems.length > 0 || typeof id !== 'string') return { ok: false, problems };
  return {
    ok: true,
    policy: {
      id,
      ...source,
      effect: read.json.effect,
      ...(typeof description === 'string' ? { description } : {}),
    },
  };
}

function severalPolicies(source: PolicyFile): CatalogueProblem | undefined {
  const parts = cedar.policySetTextToParts(source.text);
  if (parts.type === 'failure') return undefined;
  const all = [...parts.policies, ...parts.policy_templates];
  if (all.length <= 1) return undefined;
  const starts = all.map((part) => source.text.indexOf(part)).sort((a, b) => a - b);
  return {
    file: source.file,
    ...positionOfIndex(source.text, starts[1] ?? 0),
    field: '(file)',
    problem: 'holds more than one policy',
    remedy: 'Put each policy into a file of its own.',
  };
}

function annotationProblems(
  source: PolicyFile,
  annotations: Readonly<Record<string, unknown>>,
): CatalogueProblem[] {
  const { id, description } = annotations;
  const problems = Object.keys(annotations)
    .filter((name) => !ANNOTATIONS.includes(name))
    .map((name) => {
      const guess = didYouMean(name, ANNOTATIONS);
      const remedy = `${guess}Possible are: ${ANNOTATIONS.join(', ')}.`;
      return atAnnotation(source, name, 'is not an annotation of ours', remedy);
    });
  if (id === undefined) {
    const remedy = 'Begin the file with @id("name-of-the-policy").';
    problems.push(atAnnotation(source, 'id', 'is missing', remedy));
  } else if (typeof id !== 'string' || !ID.test(id)) {
    const remedy = 'Use 1 to 63 of a-z, 0-9 and "-", beginning with a letter.';
    problems.push(atAnnotation(source, 'id', 'is not a name', remedy));
  }
  if (typeof description === 'string' && description.length > DESCRIPTION_MAX) {
    const remedy = `Write at most ${DESCRIPTION_MAX} characters.`;
    problems.push(atAnnotation(source, 'description', 'is too long', remedy));
  }
  return problems;
}

/** A problem with an annotation, at its place, or at the head of the file where it is missing. */
export function atAnnotation(
  source: PolicyFile,
  name: string,
  problem: string,
  remedy: string,
): CatalogueProblem {
  const found = new RegExp(`@\\s*${name}\\b`).exec(source.text);
  return {
    file: source.file,
    ...positionOfIndex(source.text, found?.index ?? 0),
    field: `@${name}`,
    problem,
    remedy,
  };
}
