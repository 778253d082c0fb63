import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Compilation } from '../catalogue/source.ts';
import { compilePolicies } from './compile.ts';
import type { PolicyEngine } from './decision.ts';
import { knownNames } from './known-names.ts';

/** Compiles the policies of a catalogue, checked against its own agents, scopes and task types. */
export function compileCatalogue(catalogue: Catalogue): Compilation<PolicyEngine> {
  const compiled = compilePolicies(catalogue.policies, knownNames(catalogue));
  return compiled.ok ? { ok: true, value: compiled.engine } : compiled;
}
