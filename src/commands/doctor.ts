import type { Command } from 'commander';
import type { Diagnosed } from '../broker/diagnosed.ts';
import { createLog } from '../foundation/log.ts';
import {
  ADMINISTRATOR_HELP,
  readAdministration,
  withAdministratorOptions,
} from './administrators.ts';
import type { AdministratorOptions } from './administrators.ts';
import { reaching } from './backend.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { print } from './print.ts';
import { secretFolder } from './secret-folder.ts';

const HELP = `
It looks at the ledger, at OpenBao and at every target, with administrators' credentials and with
the broker's own, and makes and ends a credential on trial at each target. What is wrong comes with
its remedy. Nothing that it does stays.
${ADMINISTRATOR_HELP}

Example:
  $ mayfly doctor --ledger-admin ledger-admin.url --openbao-token-file openbao.token \\
      --secrets-dir /etc/mayfly/secrets

Exit status: 0 all is well (notices aside), 1 a promise is broken or lowered, 2 settings, catalogue
or files are wrong, 3 a server cannot be reached.`;

type Options = AdministratorOptions & { readonly all?: true };

export function registerDoctor(program: Command): void {
  withAdministratorOptions(program.command('doctor'))
    .description('find out what is wrong, and what to do about it')
    .option('--all', 'show what is well too')
    .addHelpText('after', HELP)
    .action((options: Options) => doctor(options));
}

async function doctor(options: Options): Promise<void> {
  const { catalogue, admins } = await readAdministration(options);
  const { openDiagnosis } = await import('../compose-diagnosis.ts');
  const { diagnoseBackend } = await import('../broker/diagnose-backend.ts');
  const { secretsDir } = options;
  const secrets = await secretFolder(secretsDir);
  const findings = await reaching(async () => {
    const log = createLog('silent');
    const open = await openDiagnosis(catalogue, admins, secrets, secretsDir, log);
    try {
      return await diagnoseBackend(open.parts);
    } finally {
      await open.close();
    }
  });
  print(options.json ? JSON.stringify(findings, null, 2) : inWords(findings, options.all ?? false));
  const failed = findings.filter(({ ok, severity }) => !ok && severity !== 'notice').length;
  if (failed > 0) {
    throw new CommandFailure(EXIT.failed, `${failed} of ${findings.length} checks failed.`);
  }
}

const MARKS = { error: 'FAILED', lowers: 'LOWERS', notice: 'notice' } as const;

function inWords(findings: readonly Diagnosed[], all: boolean): string {
  const lines = findings
    .filter(({ ok }) => all || !ok)
    .flatMap(({ where, check, ok, severity, seen, remedy }) => [
      `${ok ? 'ok    ' : MARKS[severity]}  ${where}  ${check}: ${seen}`,
      ...(remedy === '' ? [] : [`          remedy: ${remedy}`]),
    ]);
  const well = findings.filter(({ ok }) => ok).length;
  return [...lines, `${well} of ${findings.length} checks are well.`].join('\n');
}
