import type { Command } from 'commander';
import { z } from 'zod';
import { CommandFailure, EXIT } from './exit-code.ts';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print } from './print.ts';
import { waitOption } from './wait-seconds.ts';

const EXAMPLES = `
Ends every live lease that matches all given options, once, those of exchanges under way included.
New exchanges pass again at once; to keep an agent from coming back, quarantine it.

Examples:
  $ mayfly revoke --scope orders-write --reason 'the table is being restored' --dry-run
  $ mayfly revoke --agent invoice-reconciler --instance pod-7 --reason 'the pod was broken into'
  $ mayfly revoke --workflow month-end-2026-11 --reason 'wrong month' --wait 60

Exit status: 0 all of it is dead (or counted, with --dry-run), 1 the broker refused or something is
not dead yet, 2 arguments or token are wrong, 3 no broker answers.`;

type Options = OperatorOptions & {
  readonly agent?: string;
  readonly instance?: string;
  readonly taskType?: string;
  readonly workflow?: string;
  readonly scope?: string;
  readonly issuer?: string;
  readonly reason: string;
  readonly dryRun?: true;
  readonly json?: true;
  readonly wait: number;
};

export function registerRevoke(program: Command): void {
  const command = program
    .command('revoke')
    .description('end all leases that match: of an agent, an instance, a scope and more')
    .option('--agent <id>', 'of this agent')
    .option('--instance <name>', 'of this running copy')
    .option('--task-type <name>', 'of tasks of this type')
    .option('--workflow <name>', 'of tasks of this workflow')
    .option('--scope <name>', 'of this scope')
    .option('--issuer <name>', 'got with tokens of this issuer')
    .requiredOption('--reason <text>', 'why (required); it is recorded')
    .option('--dry-run', 'only count')
    .addOption(waitOption())
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => revoke(options));
  withOperatorOptions(command);
}

const Done = z.looseObject({
  leases: z.looseObject({
    matching: z.number(),
    fenced: z.number(),
    dead: z.number(),
    dying: z.number(),
    under_way: z.number(),
  }),
});

const NOTHING_MATCHED =
  'No live lease matches. Is everything spelt as `mayfly leases` shows it? There is nothing to end.';

async function revoke(options: Options): Promise<void> {
  const { agent, instance, taskType: task_type, workflow, scope, issuer } = options;
  const selector = { agent, instance, task_type, workflow, scope, issuer };
  if (Object.values(selector).every((value) => value === undefined)) {
    throw new CommandFailure(EXIT.usage, 'Say what is to be ended: --agent, --scope or another.');
  }
  const answer = await askOperatorApi(options, '/v1/revocations', {
    body: { selector, reason: options.reason, dry_run: options.dryRun ?? false },
    waitSeconds: options.wait,
  });
  const { leases } = Done.parse(answer);
  if (options.json) print(JSON.stringify(answer, null, 2));
  else if (leases.matching === 0 && leases.dying === 0) print(NOTHING_MATCHED);
  else if (options.dryRun) print(`${leases.matching} lease(s) would be ended.`);
  else print(`Leases: ${leases.fenced} fenced, ${leases.dead} dead, ${leases.dying} not dead yet.`);
  if (!options.dryRun && leases.dying + leases.under_way > 0) {
    throw new CommandFailure(
      EXIT.failed,
      `${leases.dying + leases.under_way} lease(s) are not dead yet; the sweep goes on. See: mayfly leases --late`,
    );
  }
}
