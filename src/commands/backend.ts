import type { Command } from 'commander';
import type { Result } from '../foundation/result.ts';
import { UnusableSecret } from '../broker/backend-parts.ts';
import type { BackendParts, BackendProblem } from '../broker/backend-parts.ts';
import type { Provisioned } from '../broker/provisioned.ts';
import { createLog } from '../foundation/log.ts';
import {
  ADMINISTRATOR_HELP,
  readAdministration,
  withAdministratorOptions,
} from './administrators.ts';
import type { AdministratorOptions } from './administrators.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { print, table } from './print.ts';
import { secretFolder } from './secret-folder.ts';

const EXAMPLE = (verb: string) => `
Example:
  $ mayfly backend ${verb} --ledger-admin ledger-admin.url --target-admin orders=orders-admin.url \\
      --openbao-token-file openbao.token --secrets-dir /etc/mayfly/secrets`;

const PLAN_HELP = `${ADMINISTRATOR_HELP}
${EXAMPLE('plan')}

Exit status: 0 shown, 1 something is in the way, 2 settings, catalogue or files are wrong,
3 a server cannot be reached.`;

const APPLY_HELP = `
It makes the ledger's roles, database and schema, what each target needs, and what OpenBao needs,
in this order. It may be repeated: a second run changes nothing. The broker's secrets go into the
secrets folder and are never printed; OpenBao replaces its own password at each target.
${ADMINISTRATOR_HELP}
${EXAMPLE('apply')}

Exit status: 0 all is there, 1 something is in the way, 2 settings, catalogue or files are wrong,
3 a server cannot be reached.`;

export function registerBackend(program: Command): void {
  const backend = program
    .command('backend')
    .description('what ledger, targets and OpenBao must hold for a broker');
  withTargets(backend.command('plan'))
    .description('show what apply would do; changes nothing')
    .addHelpText('after', PLAN_HELP)
    .action(async (options: AdministratorOptions) => {
      const { planBackend } = await import('../broker/plan-backend.ts');
      await run(options, planBackend);
    });
  withTargets(backend.command('apply'))
    .description('make it so, with administrators’ credentials')
    .addHelpText('after', APPLY_HELP)
    .action(async (options: AdministratorOptions) => {
      const { applyBackend } = await import('../broker/apply-backend.ts');
      await run(options, async (parts) => {
        const applied = await applyBackend(parts);
        return applied.ok ? { ok: true, value: applied.value.steps } : applied;
      });
    });
}

function withTargets(command: Command): Command {
  return withAdministratorOptions(command).option(
    '--target-admin <name=file...>',
    'for each target: the file that holds its address with an administrator’s login',
  );
}

async function run(
  options: AdministratorOptions,
  work: (parts: BackendParts) => Promise<Result<readonly Provisioned[], BackendProblem>>,
): Promise<void> {
  const { catalogue, admins } = await readAdministration(options);
  const { openBackend } = await import('../compose-backend.ts');
  const secrets = await secretFolder(options.secretsDir);
  const outcome = await reaching(async () => {
    const open = await openBackend(catalogue, admins, secrets, createLog('silent'));
    try {
      return await work(open.parts);
    } finally {
      await open.close();
    }
  });
  if (!outcome.ok) {
    const { where, detail } = outcome.failure;
    throw new CommandFailure(EXIT.failed, `${where}: ${detail}`);
  }
  print(options.json ? JSON.stringify(outcome.value, null, 2) : inWords(outcome.value));
}

/** What administrators' connections throw names the server and its words, never a password. */
export async function reaching<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof CommandFailure) throw thrown;
    if (thrown instanceof UnusableSecret) throw new CommandFailure(EXIT.usage, thrown.message);
    const said = thrown instanceof Error ? thrown.message : 'a server does not answer';
    throw new CommandFailure(EXIT.unreachable, said);
  }
}

function inWords(steps: readonly Provisioned[]): string {
  const changed = steps.filter(({ state }) => state !== 'unchanged');
  const summary = `${changed.length} of ${steps.length} differ`;
  if (changed.length === 0) return `Nothing to do: all ${steps.length} are as they must be.`;
  const rows = steps.map(({ where, what, state, detail }) => [state, where, what, detail ?? '']);
  return `${table([['STATE', 'WHERE', 'WHAT', ''], ...rows])}\n${summary}.`;
}
