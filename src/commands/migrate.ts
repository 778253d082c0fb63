import type { Command } from 'commander';
import { createLog } from '../foundation/log.ts';
import { environment } from '../settings/environment.ts';
import { loadMigrationSettings } from '../settings/load-settings.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { print } from './print.ts';
import { settingsFailure } from './settings-problems.ts';

const HELP = `
Brings the ledger's schema to what this version needs. It goes forward only, one process at a time,
and may be repeated. It reads MAYFLY_LEDGER_OWNER_URL (or ..._FILE) and MAYFLY_LEDGER_CA_FILE.

Example:
  $ MAYFLY_LEDGER_OWNER_URL_FILE=/run/secrets/ledger-owner-url mayfly migrate

Exit status: 0 the schema fits, 1 refused (it is newer, or a file was changed), 2 settings are
wrong, 3 the ledger cannot be reached.`;

export function registerMigrate(program: Command): void {
  program
    .command('migrate')
    .description("bring the ledger's schema to what this version needs")
    .option('--json', 'the result as JSON, for programs')
    .addHelpText('after', HELP)
    .action((options: { json?: true }) => migrateLedger(options));
}

async function migrateLedger(options: { json?: true }): Promise<void> {
  const loaded = loadMigrationSettings(environment());
  if (!loaded.ok) throw settingsFailure(loaded.failure);
  const { url, caFile } = loaded.value;
  const { MigrationRefused, migrate } = await import('../ledger/migrate.ts');
  try {
    const report = await migrate(
      { url, ...(caFile === undefined ? {} : { caFile }) },
      createLog('silent'),
    );
    if (options.json) print(JSON.stringify(report));
    else print(inWords(report));
  } catch (thrown) {
    const refused = thrown instanceof MigrationRefused;
    const sentence = thrown instanceof Error ? thrown.message : 'the ledger cannot be asked';
    throw new CommandFailure(refused ? EXIT.failed : EXIT.unreachable, sentence);
  }
}

type Report = {
  readonly applied: readonly string[];
  readonly schema: { readonly version: number };
};

function inWords({ applied, schema }: Report): string {
  const steps = applied.map((file) => `applied ${file}`);
  return [...steps, `The ledger's schema is at step ${schema.version}.`].join('\n');
}
