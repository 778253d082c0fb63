import type { Catalogue, CatalogueProblem, PolicyFile } from './catalogue.ts';
import type { Declarations } from './declarations.ts';
import type { DeclaredKind } from './declared.ts';
import { readCatalogueFiles } from './files.ts';
import type { CatalogueFile } from './files.ts';
import { catalogueHash } from './hash.ts';
import * as kinds from './kinds.ts';
import { Limits } from './limits.ts';
import type { Operators } from './operators.ts';
import { fileProblem, inReadingOrder } from './problem.ts';
import { readFolder, readSingle } from './read-entries.ts';
import type { Reading } from './read-entries.ts';
import { missingFiles, withAbsoluteCa, withAbsoluteFiles } from './referenced-files.ts';
import type { Target } from './target.ts';
import { audienceOf } from './relations/issuer-relations.ts';
import { relationProblems, relationWarnings } from './relations/relations.ts';
import type { ResolveSetting } from './setting-references.ts';

export type LoadOptions = {
  /** The catalogue's folder. Relative paths in entries begin here. */
  readonly folder: string;
  readonly settings: {
    /** The URL by which agents reach the broker: the default audience of workload tokens. */
    readonly publicUrl: string;
    /** Gives what stands for `${setting:NAME}`: the setting MAYFLY_ADDRESS_<NAME>. */
    readonly resolve: ResolveSetting;
    /** True: settings that are not set get placeholders and are listed in `unset`. For checks only. */
    readonly tolerateUnset?: boolean;
  };
  /** For warnings about dates; absent: none. */
  readonly now?: Date;
};

export type LoadedCatalogue = {
  readonly ok: true;
  readonly catalogue: Catalogue;
  /** Lawful, but probably not meant. */
  readonly warnings: readonly CatalogueProblem[];
  /** Settings that are not set; empty unless `tolerateUnset`. */
  readonly unset: readonly string[];
};

export type BrokenCatalogue = {
  readonly ok: false;
  readonly problems: readonly CatalogueProblem[];
  readonly warnings: readonly CatalogueProblem[];
  /** The policies that could be read, so that a check can go on with them. */
  readonly policies: readonly PolicyFile[];
  /** All names in use, those of broken entries too. */
  readonly names: Readonly<Record<'agents' | 'scopes' | 'taskTypes', ReadonlySet<string>>>;
  /** The targets that could be read, so that it is known which secrets are needed. */
  readonly targets: ReadonlyMap<string, Target>;
};

/**
 * Reads and checks a whole catalogue: every file by its definition, then all of them together. All
 * problems are reported at once. Policies are read here and compiled by the policy stage.
 */
export async function loadCatalogue(
  options: LoadOptions,
): Promise<LoadedCatalogue | BrokenCatalogue> {
  const { folder, settings, now } = options;
  const { files, problems: unreadable } = await readCatalogueFiles(folder);
  const reading: Reading = {
    resolve: settings.resolve,
    tolerant: settings.tolerateUnset ?? false,
    problems: [...unreadable],
    unset: new Set(),
  };
  const all = readDeclarations(files, reading);
  const limits = readLimits(files, reading);
  reading.problems.push(...relationProblems(all, settings.publicUrl));
  reading.problems.push(...(await missingFiles(all, folder)));
  const warnings = inReadingOrder(relationWarnings(all, now));
  const policies = policiesOf(files);
  if (reading.problems.length > 0 || !all.operators || !limits) {
    const problems = inReadingOrder(reading.problems);
    const targets = mapped(all.targets, (target) => target);
    return { ok: false, problems, warnings, policies, names: namesOf(all), targets };
  }
  const catalogue: Catalogue = {
    hash: catalogueHash(files),
    ...valuesOf(all, settings.publicUrl, folder),
    operators: all.operators.value,
    limits,
    policies,
  };
  return { ok: true, catalogue, warnings, unset: [...reading.unset].sort() };
}

function namesOf({ agents, scopes, taskTypes }: Declarations): BrokenCatalogue['names'] {
  return { agents: agents.names, scopes: scopes.names, taskTypes: taskTypes.names };
}

function readDeclarations(files: readonly CatalogueFile[], reading: Reading): Declarations {
  const operators = readOperators(files, reading);
  return {
    issuers: readFolder(kinds.ISSUERS, files, reading),
    agents: readFolder(kinds.AGENTS, files, reading),
    taskTypes: readFolder(kinds.TASK_TYPES, files, reading),
    scopes: readFolder(kinds.SCOPES, files, reading),
    targets: readFolder(kinds.TARGETS, files, reading),
    ...(operators ? { operators } : {}),
  };
}

function readOperators(files: readonly CatalogueFile[], reading: Reading) {
  const name = kinds.OPERATORS_FILE;
  if (!files.some((file) => file.name === name)) {
    const remedy = 'Say who may operate: roles and bindings.';
    if (!reading.problems.some((problem) => problem.file === name || problem.file === '.')) {
      reading.problems.push(fileProblem(name, 'is missing', remedy));
    }
    return undefined;
  }
  return readSingle<Operators>(kinds.OPERATORS, name, files, reading);
}

function readLimits(files: readonly CatalogueFile[], reading: Reading): Limits | undefined {
  const name = kinds.LIMITS_FILE;
  if (!files.some((file) => file.name === name)) return Limits.parse({});
  return readSingle(kinds.LIMITS, name, files, reading)?.value;
}

function policiesOf(files: readonly CatalogueFile[]): PolicyFile[] {
  return files
    .filter((file) => file.name.startsWith(`${kinds.POLICIES_FOLDER}/`))
    .map((file) => ({ file: file.name, text: file.text }));
}

function valuesOf(all: Declarations, publicUrl: string, folder: string) {
  return {
    issuers: mapped(all.issuers, (issuer) => ({
      ...withAbsoluteFiles(issuer, folder),
      audience: audienceOf(issuer, publicUrl),
    })),
    agents: mapped(all.agents, (agent) => agent),
    taskTypes: mapped(all.taskTypes, (type) => type),
    scopes: mapped(all.scopes, (scope) => scope),
    targets: mapped(all.targets, (target) => withAbsoluteCa(target, folder)),
  };
}

function mapped<Entry>(
  kind: DeclaredKind<Entry>,
  finish: (entry: Entry) => Entry,
): ReadonlyMap<string, Entry> {
  return new Map([...kind.entries].map(([name, entry]) => [name, finish(entry.value)]));
}
