import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import type { Compilation } from '../../src/catalogue/source.ts';
import { compilePolicies } from '../../src/policy/compile.ts';
import type { PolicyEngine } from '../../src/policy/decision.ts';
import { knownNames } from '../../src/policy/known-names.ts';

/** The policies of a catalogue, checked against its own names, as a broker compiles them. */
export function compileCatalogue(catalogue: Catalogue): Compilation<PolicyEngine> {
  const compiled = compilePolicies(catalogue.policies, knownNames(catalogue));
  return compiled.ok ? { ok: true, value: compiled.engine } : compiled;
}
