import type { Catalogue, CatalogueProblem, CatalogueSource } from './catalogue.ts';
import type { BrokenCatalogue, LoadedCatalogue } from './load.ts';

/** What is made of the policies: either something that decides, or problems. */
export type Compilation<Compiled> =
  | { readonly ok: true; readonly value: Compiled }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] };

export type CatalogueSteps<Compiled> = {
  load(): Promise<LoadedCatalogue | BrokenCatalogue>;
  /** Compiles the policies of a catalogue that loaded. */
  compile(catalogue: Catalogue): Compilation<Compiled>;
};

export type Reloaded =
  | {
      readonly ok: true;
      /** False where the files are those that were in force already. */
      readonly changed: boolean;
      readonly hash: string;
      readonly warnings: readonly CatalogueProblem[];
    }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] };

/** What else has to be opened for a catalogue before it comes into force, or why it cannot be. */
export type Readied =
  | { readonly ok: true; readonly enter: () => void }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] };

/** Opens what a newer catalogue needs; `enter` is called when it comes into force. Never rejects. */
export type Ready = (next: Catalogue) => Promise<Readied>;

const NOTHING_TO_READY: Ready = () => Promise.resolve({ ok: true, enter: () => undefined });

/** The catalogue and its policies in force, and the way to put newer ones in their place. */
export type LiveCatalogue<Compiled> = CatalogueSource & {
  compiled(): Compiled;
  /**
   * Reads everything again, then readies what it needs. All change together, or, with any problem,
   * nothing does. Never rejects for what is in the files; calls that overlap run one after the other.
   */
  reload(ready?: Ready): Promise<Reloaded>;
};

/** Opens a catalogue for the first time. */
export async function openCatalogue<Compiled>(steps: CatalogueSteps<Compiled>): Promise<
  | {
      readonly ok: true;
      readonly live: LiveCatalogue<Compiled>;
      readonly warnings: readonly CatalogueProblem[];
    }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] }
> {
  const first = await loadAndCompile(steps);
  if (!first.ok) return first;
  let inForce = first.set;
  let last: Promise<unknown> = Promise.resolve();
  const replace = async (ready: Ready): Promise<Reloaded> => {
    const next = await loadAndCompile(steps);
    if (!next.ok) return next;
    const readied = await ready(next.set.catalogue);
    if (!readied.ok) return readied;
    readied.enter();
    const changed = next.set.catalogue.hash !== inForce.catalogue.hash;
    inForce = next.set;
    return { ok: true, changed, hash: inForce.catalogue.hash, warnings: next.warnings };
  };
  const live: LiveCatalogue<Compiled> = {
    current: () => inForce.catalogue,
    compiled: () => inForce.compiled,
    reload: (ready = NOTHING_TO_READY) => {
      const turn = last.then(() => replace(ready));
      last = turn.catch(() => undefined);
      return turn;
    },
  };
  return { ok: true, live, warnings: first.warnings };
}

type Attempt<Compiled> =
  | {
      readonly ok: true;
      readonly set: { readonly catalogue: Catalogue; readonly compiled: Compiled };
      readonly warnings: readonly CatalogueProblem[];
    }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[] };

async function loadAndCompile<Compiled>(
  steps: CatalogueSteps<Compiled>,
): Promise<Attempt<Compiled>> {
  const loaded = await steps.load();
  if (!loaded.ok) return { ok: false, problems: loaded.problems };
  const compilation = steps.compile(loaded.catalogue);
  if (!compilation.ok) return compilation;
  const { catalogue, warnings } = loaded;
  return { ok: true, set: { catalogue, compiled: compilation.value }, warnings };
}
