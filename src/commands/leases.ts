import { Option } from 'commander';
import type { Command } from 'commander';
import { CommandFailure, EXIT } from './exit-code.ts';
import { LeaseList, leaseTable } from './lease-table.ts';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print, tell } from './print.ts';

const EXAMPLES = `
Shows live leases (minting, active, revoking) unless --state or --all says otherwise. --unsettled,
--residue and --credential-sha256 look at leases of all states.

Examples:
  $ mayfly leases --token-file operator.token
  $ mayfly leases --agent invoice-reconciler --all --json
  $ mayfly leases --credential-sha256 $(mayfly hash --credential leaked.txt)
  $ mayfly leases --late            what should be dead and is not, and why

Exit status: 0 shown, 1 the broker refused, 2 no usable token or a filter that does not fit, 3 no
broker answers.`;

const FILTERS = ['state', 'agent', 'scope', 'task', 'owner', 'limit', 'cursor'] as const;
/** Options whose words are joined otherwise in the query. */
const HASH = 'credential_sha256';
const FLAGS = ['late', 'unsettled', 'residue'] as const;

type Options = OperatorOptions & { readonly json?: true; readonly all?: true } & {
  readonly [filter in (typeof FILTERS)[number]]?: string;
} & { readonly credentialSha256?: string } & { readonly [flag in (typeof FLAGS)[number]]?: true };

export function registerLeases(program: Command): void {
  const command = program
    .command('leases')
    .description('show leases: who holds what, until when, in which state')
    .addOption(new Option('--state <states>', 'these states, separated by commas'))
    .addOption(new Option('--all', 'every state').conflicts('state'))
    .option('--agent <id>', 'of this agent')
    .option('--scope <name>', 'of this scope')
    .option('--task <id>', 'of this task')
    .option('--owner <owner>', 'of agents of this owner')
    .option(
      '--credential-sha256 <hex>',
      'of the credential with this hash (mayfly hash), dead or not',
    )
    .option('--late', 'past their deadline or ended, and not dead yet')
    .option('--unsettled', 'dead, but not settled with the backend')
    .option('--residue', 'dead, with something left that cannot be removed yet')
    .option('--limit <count>', 'rows of one page')
    .option('--cursor <cursor>', 'the next page, as the last one said')
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => leases(options));
  withOperatorOptions(command);
}

async function leases(options: Options): Promise<void> {
  const answer = await askOperatorApi(options, `/v1/leases${query(options)}`);
  if (options.json) {
    print(JSON.stringify(answer, null, 2));
    return;
  }
  const shown = LeaseList.safeParse(answer);
  if (!shown.success) {
    throw new CommandFailure(
      EXIT.failed,
      'The broker answered something that this version cannot show as a table. Use --json.',
    );
  }
  print(leaseTable(shown.data));
  if (shown.data.cursor) tell(`There are more: --cursor ${shown.data.cursor}`);
}

function query(options: Options): string {
  const parameters = new URLSearchParams();
  for (const name of FILTERS) {
    const value = options[name];
    if (value !== undefined) parameters.set(name, value);
  }
  if (options.credentialSha256 !== undefined) parameters.set(HASH, options.credentialSha256);
  for (const name of FLAGS) if (options[name]) parameters.set(name, 'true');
  if (options.all) parameters.set('state', 'all');
  return parameters.size > 0 ? `?${parameters.toString()}` : '';
}
