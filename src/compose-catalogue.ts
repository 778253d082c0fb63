import type { CatalogueProblem } from './catalogue/catalogue.ts';
import { loadCatalogue } from './catalogue/load.ts';
import type { BrokenCatalogue, LoadedCatalogue } from './catalogue/load.ts';
import { inReadingOrder } from './catalogue/problem.ts';
import { openCatalogue } from './catalogue/source.ts';
import { missingSecrets } from './compose-secrets.ts';
import { systemClock } from './foundation/clock.ts';
import { compilePolicies } from './policy/compile.ts';
import type { PolicyEngine } from './policy/decision.ts';
import { knownNames } from './policy/known-names.ts';
import type { Secrets, Settings } from './settings/load-settings.ts';

/** What a broker reads its catalogue with. */
export type CatalogueNeeds = Pick<Settings, 'configFolder' | 'addresses' | 'publicUrl'> &
  Pick<Secrets, 'named'>;

/** The catalogue and its policies in force, to be reloaded. */
export function openLiveCatalogue(needs: CatalogueNeeds) {
  return openCatalogue<PolicyEngine>({
    load: () => loadWhole(needs),
    compile(catalogue) {
      const missing = missingSecrets(catalogue, needs);
      const compiled = compilePolicies(catalogue.policies, knownNames(catalogue));
      if (compiled.ok && missing.length === 0) return { ok: true, value: compiled.engine };
      return { ok: false, problems: [...missing, ...(compiled.ok ? [] : compiled.problems)] };
    },
  });
}

/** Everything that keeps a broker from starting with this catalogue. */
export async function catalogueProblems(
  needs: CatalogueNeeds,
): Promise<readonly CatalogueProblem[]> {
  const opened = await openLiveCatalogue(needs);
  return opened.ok ? [] : opened.problems;
}

/** A broken catalogue's policies and secrets are looked at too, so that one start reports all. */
async function loadWhole(needs: CatalogueNeeds): Promise<LoadedCatalogue | BrokenCatalogue> {
  const { configFolder: folder, publicUrl, addresses } = needs;
  const resolve = (name: string) => addresses.get(name);
  const settings = { publicUrl, resolve };
  const loaded = await loadCatalogue({ folder, settings, now: systemClock.now() });
  if (loaded.ok) return loaded;
  const { agents, scopes, taskTypes } = loaded.names;
  const compiled = compilePolicies(loaded.policies, {
    Agent: agents,
    Scope: scopes,
    TaskType: taskTypes,
  });
  const problems = [
    ...loaded.problems,
    ...missingSecrets(loaded, needs),
    ...(compiled.ok ? [] : compiled.problems),
  ];
  return { ...loaded, problems: inReadingOrder(problems) };
}
