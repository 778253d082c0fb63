import type { Command } from 'commander';
import { z } from 'zod';
import { CommandFailure, EXIT } from './exit-code.ts';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print } from './print.ts';
import { waitOption } from './wait-seconds.ts';

const QUARANTINE_HELP = `
When this answers, nothing can be granted to the agent any more, on any broker, and all that it has
is ended. It stays so until it is released.

Examples:
  $ mayfly quarantine invoice-reconciler --reason 'reads tables it never read before'
  $ mayfly quarantine invoice-reconciler --reason drill --wait 60 --json

Exit status: 0 stopped and everything of it is dead, 1 the broker refused or something is not dead
yet, 2 arguments or token are wrong, 3 no broker answers.`;

const RELEASE_HELP = `
New exchanges pass again. What was ended stays ended.

Examples:
  $ mayfly release invoice-reconciler --reason 'the change was announced, see INC-17'

Exit status: 0 released, or it was not quarantined, 1 the broker refused, 2 arguments or token are
wrong, 3 no broker answers.`;

type Options = OperatorOptions & {
  readonly reason: string;
  readonly json?: true;
};

export function registerQuarantine(program: Command): void {
  const command = program
    .command('quarantine')
    .description('stop an agent: nothing new for it, and all that it has is ended')
    .argument('<agent>', 'its id')
    .requiredOption('--reason <text>', 'why (required); it is recorded')
    .addOption(waitOption())
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', QUARANTINE_HELP)
    .action((agent: string, options: Options & { readonly wait: number }) =>
      quarantine(agent, options),
    );
  withOperatorOptions(command);
}

export function registerRelease(program: Command): void {
  const command = program
    .command('release')
    .description('let a quarantined agent exchange again')
    .argument('<agent>', 'its id')
    .requiredOption('--reason <text>', 'why (required); it is recorded')
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', RELEASE_HELP)
    .action((agent: string, options: Options) => release(agent, options));
  withOperatorOptions(command);
}

const Stopped = z.looseObject({
  changed: z.boolean(),
  quarantine: z.looseObject({ since: z.string(), by: z.string(), reason: z.string() }),
  leases: z.looseObject({ fenced: z.number(), dead: z.number(), dying: z.number() }),
});

async function quarantine(
  agent: string,
  options: Options & { readonly wait: number },
): Promise<void> {
  const answer = await askOperatorApi(options, pathOf(agent, 'quarantine'), {
    body: { reason: options.reason },
    waitSeconds: options.wait,
  });
  const { changed, quarantine: stop, leases } = Stopped.parse(answer);
  if (options.json) print(JSON.stringify(answer, null, 2));
  else {
    print(
      changed
        ? `${agent} is quarantined.`
        : `${agent} was quarantined at ${stop.since} by ${stop.by}: ${stop.reason}`,
    );
    print(`Leases: ${leases.fenced} fenced, ${leases.dead} dead, ${leases.dying} not dead yet.`);
  }
  if (leases.dying > 0) {
    throw new CommandFailure(
      EXIT.failed,
      `${leases.dying} lease(s) are not dead yet; the sweep goes on. See: mayfly leases --late`,
    );
  }
}

async function release(agent: string, options: Options): Promise<void> {
  const answer = await askOperatorApi(options, pathOf(agent, 'release'), {
    body: { reason: options.reason },
  });
  const { changed } = z.looseObject({ changed: z.boolean() }).parse(answer);
  if (options.json) print(JSON.stringify(answer, null, 2));
  else print(changed ? `${agent} is released.` : `${agent} was not quarantined.`);
}

function pathOf(agent: string, what: 'quarantine' | 'release'): string {
  return `/v1/agents/${encodeURIComponent(agent)}/${what}`;
}
