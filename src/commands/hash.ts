import { createHash } from 'node:crypto';
import { Option } from 'commander';
import type { Command } from 'commander';
import { CommandFailure, EXIT } from './exit-code.ts';
import { print } from './print.ts';
import { accessTokenIn, textOf } from './query.ts';

const EXAMPLES = `
Prints the hash by which the ledger knows a credential, to look it up without sending it anywhere.
The value is read from a file or from standard input, never from an argument, which other users of
the machine could see. It is the access_token as it was issued, byte by byte (line ends around it do
not count), or a whole answer of /exchange.

Examples:
  $ mayfly leases --credential-sha256 $(mayfly hash --credential leaked.txt)
  $ pbpaste | mayfly hash

Exit status: 0 printed, 2 there is nothing to hash.`;

export function registerHash(program: Command): void {
  program
    .command('hash')
    .description('print the hash of a leaked value, to find its lease')
    .addOption(
      new Option('--credential <file>', 'where the value is; - is standard input').default('-'),
    )
    .addHelpText('after', EXAMPLES)
    .action((options: { readonly credential: string }) => hash(options.credential));
}

async function hash(file: string): Promise<void> {
  const text = await textOf(file);
  const value = (accessTokenIn(text) ?? text).trim();
  if (value === '') throw new CommandFailure(EXIT.usage, 'There is nothing to hash.');
  print(createHash('sha256').update(value, 'utf8').digest('hex'));
}
