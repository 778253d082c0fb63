import { posix } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import type { Catalogue, CatalogueProblem } from '../catalogue/catalogue.ts';
import type { ResolveSetting } from '../catalogue/setting-references.ts';
import { inReadingOrder } from '../catalogue/problem.ts';
import { EXIT } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { UNKNOWN_PUBLIC_URL } from './settings-problems.ts';

export type CheckArguments = {
  /** The catalogue folder. */
  readonly config: string;
  readonly json: boolean;
  /** True: a setting that an address refers to and that is not set is a problem. */
  readonly requireSettings: boolean;
  /** True: writes the JSON Schemas for editors into the folder first. */
  readonly writeSchemas: boolean;
};

/** What a check needs of the world around it. */
export type CheckIo = {
  print(line: string): void;
  readonly resolve: ResolveSetting;
  /** Where the catalogue is unless the command line says otherwise; absent: `config`. */
  readonly configFolder?: string;
  /** The broker's public URL, where it is known. */
  readonly publicUrl?: string;
  readonly now: Date;
};

type Findings = {
  readonly problems: readonly CatalogueProblem[];
  readonly warnings: readonly CatalogueProblem[];
  readonly unset: readonly string[];
  /** Absent where the catalogue is too broken to have one. */
  readonly catalogue?: Catalogue;
};

/**
 * Checks a catalogue and its policies without starting anything, and prints every problem with its
 * place and remedy.
 *
 * @returns 0 when a broker would start with it, 1 when not, 2 when there is no folder to check
 */
export async function runCheck(args: CheckArguments, io: CheckIo): Promise<ExitCode> {
  const findings = await find(args, io);
  if (args.writeSchemas && !isNoFolder(findings)) {
    const { writeSchemaFiles } = await import('../catalogue/json-schema.ts');
    await writeSchemaFiles(args.config);
  }
  const lines = args.json ? [asJson(findings)] : asText(args, findings).map(visible);
  lines.forEach((line) => io.print(line));
  if (findings.problems.length === 0) return EXIT.ok;
  return isNoFolder(findings) ? EXIT.usage : EXIT.failed;
}

/** Then nothing was checked. */
function isNoFolder({ problems }: Findings): boolean {
  return problems.some(({ file }) => file === '.');
}

async function find(args: CheckArguments, io: CheckIo): Promise<Findings> {
  // Other commands of this program do not wait for Cedar to load.
  const { loadCatalogue } = await import('../catalogue/load.ts');
  const { compilePolicies } = await import('../policy/compile.ts');
  const { knownNames } = await import('../policy/known-names.ts');
  const loaded = await loadCatalogue({
    folder: args.config,
    settings: {
      publicUrl: io.publicUrl ?? UNKNOWN_PUBLIC_URL,
      resolve: io.resolve,
      tolerateUnset: !args.requireSettings,
    },
    now: io.now,
  });
  if (!loaded.ok) {
    const { agents, scopes, taskTypes } = loaded.names;
    const known = { Agent: agents, Scope: scopes, TaskType: taskTypes };
    const compiled = compilePolicies(loaded.policies, known);
    const problems = [...loaded.problems, ...(compiled.ok ? [] : compiled.problems)];
    return { problems: inReadingOrder(problems), warnings: loaded.warnings, unset: [] };
  }
  const { catalogue, warnings, unset } = loaded;
  const compiled = compilePolicies(catalogue.policies, knownNames(catalogue));
  return { problems: compiled.ok ? [] : compiled.problems, warnings, unset, catalogue };
}

function asText(
  args: CheckArguments,
  { problems, warnings, unset, catalogue }: Findings,
): string[] {
  const line = (kind: string) => (found: CatalogueProblem) =>
    `${posix.join(args.config, found.file)}:${found.line}:${found.column} ${kind}${found.field}: ${sentence(found.problem)} ${sentence(found.remedy)}`;
  const settings = unset.map((name) => `MAYFLY_ADDRESS_${name}`).join(', ');
  const summary =
    problems.length > 0 || !catalogue
      ? `${count(problems.length, 'problem')} in ${args.config}`
      : `${args.config} is sound: ${counted(catalogue)}; hash ${catalogue.hash.slice(0, 12)}`;
  return [
    ...problems.map(line('')),
    ...warnings.map(line('warning: ')),
    ...(settings ? [`note: not set here, needed by the broker: ${settings}`] : []),
    summary,
  ];
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Names in a broken file may hold control characters, which could rewrite what is shown. */
function visible(line: string): string {
  return line.replace(/\p{Cc}/gu, '\u{fffd}');
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

function counted(catalogue: Catalogue): string {
  return [
    count(catalogue.issuers.size, 'issuer'),
    count(catalogue.agents.size, 'agent'),
    count(catalogue.taskTypes.size, 'task type'),
    count(catalogue.scopes.size, 'scope'),
    count(catalogue.targets.size, 'target'),
    `${catalogue.policies.length} ${catalogue.policies.length === 1 ? 'policy' : 'policies'}`,
  ].join(', ');
}

function asJson({ problems, warnings, unset, catalogue }: Findings): string {
  const ok = problems.length === 0;
  const about = catalogue && {
    hash: catalogue.hash,
    counts: {
      issuers: catalogue.issuers.size,
      agents: catalogue.agents.size,
      task_types: catalogue.taskTypes.size,
      scopes: catalogue.scopes.size,
      targets: catalogue.targets.size,
      policies: catalogue.policies.length,
    },
  };
  return JSON.stringify({ ok, problems, warnings, unset_settings: unset, ...about }, null, 2);
}

const HELP = `
Reads every file of the catalogue, checks it by its definition and all of them together, and
compiles the policies. Starts nothing and asks nobody.

Exit status: 0 sound, 1 problems, 2 the folder cannot be read.`;

/** Adds `mayfly check`. `io` gives the settings and where to print. */
export function registerCheck(program: Command, io: () => CheckIo): void {
  program
    .command('check')
    .description('check the catalogue and its policies without starting anything')
    .option('--config <folder>', 'the catalogue folder (default: MAYFLY_CONFIG_DIR, or config)')
    .option('--json', 'print one JSON object', false)
    .option('--require-settings', 'settings that addresses refer to must be set', false)
    .addOption(new Option('--write-schemas', 'write JSON Schemas for editors first').default(false))
    .addHelpText('after', HELP)
    .action(async (options: Omit<CheckArguments, 'config'> & { readonly config?: string }) => {
      const surroundings = io();
      const config = options.config ?? surroundings.configFolder ?? 'config';
      process.exitCode = await runCheck({ ...options, config }, surroundings);
    });
}
