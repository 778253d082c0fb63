import type { Command } from 'commander';
import { z } from 'zod';
import { CommandFailure, EXIT } from './exit-code.ts';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print } from './print.ts';

const EXAMPLES = `
Has an overdue lease tried now, whatever its next attempt: its end, its settling with OpenBao, or the
disabled role that it left behind. \`mayfly leases --late\`, \`--unsettled\` and \`--residue\` show which.

Example:
  $ mayfly retry 0190c0de-0000-7000-8000-000000000002 --reason "the target is back"

Exit status: 0 nothing of it is left, 1 something still is (with the reason) or the broker refused,
2 no usable token, 3 no broker answers.`;

const Tried = z.looseObject({
  state: z.string(),
  late_reason: z.string().nullish(),
  residue: z.string().nullish(),
});

type Options = OperatorOptions & { readonly reason: string; readonly json?: true };

export function registerRetry(program: Command): void {
  const command = program
    .command('retry')
    .description('have an overdue lease tried now')
    .argument('<lease>', 'the id of the lease')
    .requiredOption('--reason <text>', 'why (required); it is recorded')
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', EXAMPLES)
    .action((lease: string, options: Options) => retry(lease, options));
  withOperatorOptions(command);
}

async function retry(lease: string, options: Options): Promise<void> {
  const path = `/v1/leases/${encodeURIComponent(lease)}/retry`;
  const answer = await askOperatorApi(options, path, {
    body: { reason: options.reason },
  });
  if (options.json) print(JSON.stringify(answer, null, 2));
  const { state, late_reason, residue } = Tried.parse(answer);
  if (!options.json) print(`${lease}  ${state}`);
  const left = late_reason ?? residue;
  const isClosed = state === 'abandoned' || (state === 'settled' && !residue);
  if (!isClosed) throw new CommandFailure(EXIT.failed, `Not yet: ${left ?? 'it is under way'}.`);
}
