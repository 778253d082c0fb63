import { createHash } from 'node:crypto';
import type { ValidationError } from '@cedar-policy/cedar-wasm/nodejs';
import type { CatalogueProblem, PolicyFile } from '../catalogue/catalogue.ts';
import { inReadingOrder } from '../catalogue/problem.ts';
import { cedarProblem } from './cedar-problem.ts';
import { cedar } from './cedar.ts';
import type { PolicyEngine } from './decision.ts';
import { createEngine } from './engine.ts';
import { unknownNames } from './known-names.ts';
import type { KnownNames } from './known-names.ts';
import type { Policy } from './policy-set.ts';
import { atAnnotation, readPolicy } from './read-policy.ts';
import { CEDAR_SCHEMA, CEDAR_SCHEMA_VERSION } from './schema.ts';

export type Compiled =
  | { readonly ok: true; readonly engine: PolicyEngine; readonly policies: readonly Policy[] }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] };

const SCHEMA_NAME = `mayfly-${CEDAR_SCHEMA_VERSION}`;

/**
 * Compiles and checks a policy set: one policy a file, each with its own `@id`, strictly valid
 * under the schema (Cedar's warnings count as faults: a policy that can never apply is a mistake).
 * With `known`, references to entries that the catalogue does not declare are problems too. All
 * problems are reported at once. An empty set is lawful and denies everything.
 */
export function compilePolicies(files: readonly PolicyFile[], known?: KnownNames): Compiled {
  const read = files.map(readPolicy);
  const policies = read.flatMap((one) => (one.ok ? [one.policy] : []));
  const problems = [
    ...read.flatMap((one) => (one.ok ? [] : one.problems)),
    ...duplicateIds(policies),
    ...validationProblems(policies),
    ...(known ? policies.flatMap((policy) => unknownNames(policy, known)) : []),
  ];
  if (problems.length > 0) return { ok: false, problems: inReadingOrder(problems) };
  const hash = policySetHash(policies);
  prepare(hash, policies);
  return {
    ok: true,
    engine: createEngine({ policySet: hash, schema: SCHEMA_NAME, policies }),
    policies,
  };
}

/** SHA-256 (hex) over the schema's version and the policies' ids and texts, by id. */
function policySetHash(policies: readonly Policy[]): string {
  const parts = [...policies]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, text }) => [id, text]);
  return createHash('sha256')
    .update(JSON.stringify([CEDAR_SCHEMA_VERSION, parts]))
    .digest('hex');
}

function duplicateIds(policies: readonly Policy[]): CatalogueProblem[] {
  const seen = new Map<string, Policy>();
  return policies.flatMap((policy) => {
    const earlier = seen.get(policy.id);
    if (!earlier) {
      seen.set(policy.id, policy);
      return [];
    }
    const problem = `"${policy.id}" is the id of the policy in ${earlier.file} too`;
    return [atAnnotation(policy, 'id', problem, 'Give each policy an id of its own.')];
  });
}

/**
 * Validates all in one call, since each call reads the schema anew. They go by their places in the
 * list, so that two of one id do not hide each other.
 */
function validationProblems(policies: readonly Policy[]): CatalogueProblem[] {
  const staticPolicies = Object.fromEntries(policies.map(({ text }, index) => [index, text]));
  const answer = cedar.validate({
    validationSettings: { mode: 'strict' },
    schema: CEDAR_SCHEMA,
    policies: { staticPolicies },
  });
  // Each was parsed before and the schema is ours: nothing is left that could fail as a whole.
  if (answer.type === 'failure') throw new Error(`Cedar refused: ${answer.errors[0]?.message}`);
  return policies.flatMap((policy, index) => {
    const own = ({ policyId }: ValidationError) => policyId === String(index);
    const { validationErrors, validationWarnings } = answer;
    const faults = tellingFaults(validationErrors.filter(own), validationWarnings.filter(own));
    return faults.map(({ error }) => cedarProblem(policy, policy.id, error));
  });
}

/** What follows from an unknown name says less than the name. */
const FOLLOWS = 'unable to find an applicable action';

/** `success` only says that validation ran. Warnings beside errors follow from them. */
function tellingFaults(
  errors: readonly ValidationError[],
  warnings: readonly ValidationError[],
): readonly ValidationError[] {
  if (errors.length === 0) return warnings;
  const telling = errors.filter(({ error }) => !error.message.includes(FOLLOWS));
  return telling.length > 0 ? telling : errors;
}

/**
 * Puts the set where Cedar finds it by its hash, so that sets of several catalogues live side by
 * side during a reload and no decision can meet the wrong one.
 */
function prepare(hash: string, policies: readonly Policy[]): void {
  const staticPolicies = Object.fromEntries(policies.map(({ id, text }) => [id, text]));
  const answers = [
    cedar.preparseSchema(SCHEMA_NAME, CEDAR_SCHEMA),
    cedar.preparsePolicySet(hash, { staticPolicies }),
  ];
  for (const answer of answers) {
    // Everything was validated before: this would be a fault of ours.
    if (answer.type === 'failure') throw new Error(`Cedar refused: ${answer.errors[0]?.message}`);
  }
}
