import type { Command } from 'commander';
import { z } from 'zod';
import { CommandFailure, EXIT } from './exit-code.ts';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print } from './print.ts';
import { ReconciliationAnswer, reconciliationText } from './reconciliation-text.ts';

const HELP = `
A broker whose ledger was restored or cloned only observes: it mints nothing and ends only names
past their own deadline. Without --confirmation this shows why, and what a reconciliation would end
with this ledger. Given the value that was shown, the broker goes on with it, and the next
reconciliation does just that. Needs the permission admin.

Examples:
  $ mayfly ledger confirm --token-file admin.token
  $ mayfly ledger confirm --token-file admin.token --confirmation 1f0c4a7be2d95586

Exit status: 0 confirmed, or nothing to confirm; 1 shown and not confirmed, or the broker refused;
2 no usable token; 3 no broker answers.`;

/** Seconds; it compares everything first. */
const CONFIRM_WAIT_SECONDS = 80;

const Mark = z.looseObject({ id: z.string(), cluster: z.string(), epoch: z.number() });
const Answer = z.looseObject({
  observing: z.string().nullable(),
  confirmed: z.boolean(),
  confirmation: z.string(),
  ledger: Mark,
  mark: Mark.nullable(),
  differences: ReconciliationAnswer,
});

type Options = OperatorOptions & { readonly json?: true; readonly confirmation?: string };

export function registerLedger(program: Command): void {
  const ledger = program.command('ledger').description('which ledger a broker goes on with');
  const command = ledger
    .command('confirm')
    .description('show how a restored ledger differs, and go on with it')
    .option('--confirmation <value>', 'the value that was shown: go on')
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', HELP)
    .action((options: Options) => confirm(options));
  withOperatorOptions(command);
}

async function confirm(options: Options): Promise<void> {
  const body = { confirmation: options.confirmation ?? null };
  const call = { body, waitSeconds: CONFIRM_WAIT_SECONDS };
  const answer = await askOperatorApi(options, '/v1/ledger/confirm', call);
  const shown = Answer.safeParse(answer);
  if (!shown.success) {
    throw new CommandFailure(EXIT.failed, 'The broker answered something else than asked for.');
  }
  print(options.json ? JSON.stringify(answer, null, 2) : inWords(shown.data));
  if (!shown.data.confirmed && shown.data.observing !== null) {
    throw new CommandFailure(EXIT.failed, 'Not confirmed: this broker only observes.');
  }
}

function inWords(answer: z.infer<typeof Answer>): string {
  const { observing, ledger, mark, differences, confirmation, confirmed } = answer;
  const place = ({ id, cluster, epoch }: z.infer<typeof Mark>) =>
    `ledger ${id} on server ${cluster}, epoch ${epoch}`;
  return [
    reconciliationText(differences),
    '',
    `This is ${place(ledger)}.`,
    mark ? `OpenBao knows ${place(mark)}.` : 'OpenBao knows no ledger yet.',
    observing === null ? 'This broker acts.' : `This broker only observes: ${observing}.`,
    confirmed ? 'Confirmed.' : `To go on with it: --confirmation ${confirmation}`,
  ].join('\n');
}
