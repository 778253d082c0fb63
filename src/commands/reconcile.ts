import type { Command } from 'commander';
import { CommandFailure, EXIT } from './exit-code.ts';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print } from './print.ts';
import { numbersLeft, ReconciliationAnswer, reconciliationText } from './reconciliation-text.ts';

const HELP = `
Compares what OpenBao holds below Mayfly's mounts, what the ledger promises, and which users of this
installation the targets have. What no live lease explains, and is older than a mint may take, is
ended. What belongs to others is counted and never touched. Brokers do the same every few minutes.

Examples:
  $ mayfly reconcile --dry-run --token-file operator.token     what it would do
  $ mayfly reconcile --json

Exit status: 0 the three agree, 1 they do not (something is left, or a dry run would end something,
or something could not be looked at) or the broker refused, 2 no usable token, 3 no broker answers.`;

/** Seconds; with what a call takes anyway below the time after which a server hangs up. */
const RECONCILE_WAIT_SECONDS = 80;

type Options = OperatorOptions & { readonly json?: true; readonly dryRun?: true };

export function registerReconcile(program: Command): void {
  const command = program
    .command('reconcile')
    .description('compare ledger, OpenBao and targets now, and end what nobody knows')
    .option('--dry-run', 'show what it would do; changes nothing')
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', HELP)
    .action((options: Options) => reconcile(options));
  withOperatorOptions(command);
}

async function reconcile(options: Options): Promise<void> {
  const body = { dry_run: options.dryRun === true };
  const waitSeconds = RECONCILE_WAIT_SECONDS;
  const answer = await askOperatorApi(options, '/v1/reconciliations', { body, waitSeconds });
  const shown = ReconciliationAnswer.safeParse(answer);
  if (!shown.success) {
    throw new CommandFailure(EXIT.failed, 'The broker answered something else than asked for.');
  }
  print(options.json ? JSON.stringify(answer, null, 2) : reconciliationText(shown.data));
  const { complete } = shown.data;
  const left = numbersLeft(shown.data);
  if (left > 0) throw new CommandFailure(EXIT.failed, `${left} found that nothing explains.`);
  if (!complete) throw new CommandFailure(EXIT.failed, 'Not everything could be looked at.');
}
