import type { CatalogueProblem } from './catalogue.ts';
import { clashes, complain, whereabouts } from './declared.ts';
import type { Declared, DeclaredKind } from './declared.ts';
import { definitionProblems, valueAt } from './definition-problems.ts';
import { fieldProblem, parseYaml } from './document.ts';
import type { ParsedFile, ParsedYaml } from './document.ts';
import type { CatalogueFile } from './files.ts';
import type { FolderKind, Kind } from './kinds.ts';
import { fillInSettings } from './setting-references.ts';
import type { ResolveSetting } from './setting-references.ts';

/** How settings are filled in, and what was found while reading. */
export type Reading = {
  readonly resolve: ResolveSetting;
  /** True: settings that are not set are collected in `unset` instead of being problems. */
  readonly tolerant: boolean;
  readonly problems: CatalogueProblem[];
  readonly unset: Set<string>;
};

/** Reads all entries of a folder; what is wrong is added to `reading.problems`. */
export function readFolder<Entry>(
  kind: FolderKind<Entry>,
  files: readonly CatalogueFile[],
  reading: Reading,
): DeclaredKind<Entry> {
  const names = new Set<string>();
  const declared = files
    .filter((file) => file.name.startsWith(`${kind.folder}/`))
    .flatMap((file) => {
      const read = parseYaml(file.name, file.text);
      const name = valueAt(read.ok ? read.parsed.data : read.data, [kind.key]);
      if (typeof name === 'string') names.add(name);
      return fit(kind, read, reading);
    });
  const nameOf = (entry: Entry) => String(valueAt(entry, [kind.key]));
  reading.problems.push(
    ...clashes(declared, nameOf, (entry, earlier) => sameName(kind, entry, earlier)),
  );
  const entries = new Map(declared.map((entry) => [nameOf(entry.value), entry]));
  return { word: kind.word, entries, names };
}

/** Reads a file that holds the only entry of its kind; undefined where it is absent or broken. */
export function readSingle<Entry>(
  kind: Kind<Entry>,
  name: string,
  files: readonly CatalogueFile[],
  reading: Reading,
): Declared<Entry> | undefined {
  const file = files.find((candidate) => candidate.name === name);
  return file && fit(kind, parseYaml(file.name, file.text), reading)[0];
}

function fit<Entry>(kind: Kind<Entry>, read: ParsedYaml, reading: Reading): Declared<Entry>[] {
  if (!read.ok) {
    reading.problems.push(...read.problems);
    return [];
  }
  const { parsed } = read;
  const { data } = parsed;
  if (data === null || typeof data !== 'object' || Array.isArray(data)) {
    const remedy = 'Write one entry as "field: value" lines, each entry in a file of its own.';
    reading.problems.push(fieldProblem(parsed, [], 'is not a mapping of fields', remedy));
    return [];
  }
  const filled = fillInSettings(parsed, kind.addresses, reading.resolve, reading.tolerant);
  reading.problems.push(...filled.problems);
  for (const name of filled.unset) reading.unset.add(name);
  const checked = kind.definition.safeParse(filled.data);
  if (checked.success) return [{ value: checked.data, parsed }];
  const { definition } = kind;
  const problems = definitionProblems(definition, parsed, filled.data, checked.error);
  reading.problems.push(...problems);
  return withoutStrangeFields(definition, parsed, filled.data, problems);
}

/**
 * An entry whose only mistake is a field too many is compared with the others all the same. Where
 * the field may be a misspelt one, what follows from its absence would only confuse.
 */
function withoutStrangeFields<Entry>(
  definition: Kind<Entry>['definition'],
  parsed: ParsedFile,
  data: unknown,
  problems: readonly CatalogueProblem[],
): Declared<Entry>[] {
  const strange = problems.filter(
    ({ problem, remedy }) => problem === 'unknown field' && !remedy.startsWith('Did you mean'),
  );
  if (strange.length < problems.length || data === null || typeof data !== 'object') return [];
  const names = new Set(strange.map(({ field }) => field));
  const known = Object.entries(data).filter(([field]) => !names.has(field));
  const checked = definition.safeParse(Object.fromEntries(known));
  return checked.success ? [{ value: checked.data, parsed }] : [];
}

function sameName<Entry>(
  kind: FolderKind<Entry>,
  entry: Declared<Entry>,
  earlier: Declared<Entry>,
): CatalogueProblem {
  return complain(
    entry,
    [kind.key],
    `is the name of another ${kind.word} too (${whereabouts(earlier)})`,
    'Give each a name of its own.',
  );
}
