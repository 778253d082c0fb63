import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Administrators } from '../compose-backend.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { environment } from '../settings/environment.ts';
import { loadAdministrationSettings } from '../settings/load-settings.ts';
import type { AdministrationSettings } from '../settings/load-settings.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { catalogueFailure, settingsFailure, UNKNOWN_PUBLIC_URL } from './settings-problems.ts';

/** What an administrator's command was told on its command line: files, never secrets. */
export type AdministratorOptions = {
  readonly ledgerAdmin: string;
  readonly ledgerDatabase: string;
  readonly openbaoTokenFile?: string;
  readonly openbaoUserpass?: string;
  readonly targetAdmin?: readonly string[];
  readonly secretsDir: string;
  readonly json?: true;
};

/** Where the catalogue, OpenBao and the rest come from; the same for plan, apply and doctor. */
export const ADMINISTRATOR_HELP = `
Besides these options it reads the settings MAYFLY_CONFIG_DIR,
MAYFLY_ADDRESS_<NAME>, MAYFLY_BACKEND_URL, MAYFLY_BACKEND_CA_FILE, MAYFLY_BACKEND_NAMESPACE and
MAYFLY_LEDGER_CA_FILE. Credentials come from files and are never printed.`;

export function withAdministratorOptions(command: Command): Command {
  return command
    .requiredOption(
      '--ledger-admin <file>',
      "holds the ledger server's address with an administrator's login: postgresql://... (required)",
    )
    .option('--ledger-database <name>', "the ledger's own database", 'mayfly')
    .option('--openbao-token-file <file>', "holds an administrator's token of OpenBao")
    .option('--openbao-userpass <user=file>', 'log in to OpenBao; the file holds the password')
    .requiredOption(
      '--secrets-dir <folder>',
      "where the broker's own secrets are kept, one file each, mode 0600 (required)",
    )
    .option('--json', 'the result as JSON, for programs');
}

export type Administration = {
  readonly catalogue: Catalogue;
  readonly admins: Administrators;
};

/**
 * Reads settings, catalogue and administrators' credentials.
 *
 * @throws CommandFailure with everything that is wrong about one of them.
 */
export async function readAdministration(options: AdministratorOptions): Promise<Administration> {
  const settings = readSettings(options);
  const catalogue = await readCatalogue(settings);
  const targets = new Map<string, SecretText>();
  for (const [name, file] of (options.targetAdmin ?? []).map(pair)) {
    if (!catalogue.targets.has(name)) {
      throw new CommandFailure(EXIT.usage, `--target-admin: there is no target ${name}.`);
    }
    targets.set(name, await secretIn(file));
  }
  const { ledger, backend } = settings;
  return {
    catalogue,
    admins: {
      ledger: { ...ledger, database: options.ledgerDatabase },
      targets,
      backend: { ...backend, token: await openBaoToken(settings, options) },
    },
  };
}

/** The ledger's administrator takes the place of its owner, whom `apply` may have to make. */
function readSettings(options: AdministratorOptions): AdministrationSettings {
  const loaded = loadAdministrationSettings({
    ...environment(),
    MAYFLY_LEDGER_OWNER_URL: undefined,
    MAYFLY_LEDGER_OWNER_URL_FILE: options.ledgerAdmin,
  });
  if (loaded.ok) return loaded.value;
  throw settingsFailure(
    loaded.failure.map((problem) =>
      problem.name === 'MAYFLY_LEDGER_OWNER_URL'
        ? {
            ...problem,
            name: '--ledger-admin',
            remedy: 'Give a file that holds a postgresql:// address.',
          }
        : problem,
    ),
  );
}

async function readCatalogue(settings: AdministrationSettings): Promise<Catalogue> {
  const { loadCatalogue } = await import('../catalogue/load.ts');
  const { configFolder: folder, addresses } = settings;
  const resolve = (name: string) => addresses.get(name);
  const loaded = await loadCatalogue({
    folder,
    settings: { publicUrl: UNKNOWN_PUBLIC_URL, resolve },
  });
  if (!loaded.ok) throw catalogueFailure(folder, loaded.problems);
  return loaded.catalogue;
}

async function openBaoToken(
  { backend }: AdministrationSettings,
  { openbaoTokenFile, openbaoUserpass }: AdministratorOptions,
): Promise<SecretText> {
  if (openbaoTokenFile !== undefined) return secretIn(openbaoTokenFile);
  if (openbaoUserpass === undefined) {
    throw new CommandFailure(
      EXIT.usage,
      "OpenBao's administrator is missing: give --openbao-token-file or --openbao-userpass.",
    );
  }
  const [user, file] = pair(openbaoUserpass);
  const { logInWithPassword } = await import('../mint/provision/userpass-login.ts');
  const token = await logInWithPassword(backend, user, await secretIn(file));
  if (token.ok) return token.value;
  throw new CommandFailure(
    EXIT.unreachable,
    `OpenBao did not let ${user} in: ${token.failure.message}.`,
  );
}

/** `name=file`. */
function pair(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new CommandFailure(EXIT.usage, `"${text}" is not of the form name=file.`);
}

async function secretIn(file: string): Promise<SecretText> {
  const text = await readFile(file, 'utf8').catch(() => '');
  if (text.trim() !== '') return new SecretText(text.trim());
  throw new CommandFailure(EXIT.usage, `The file ${file} cannot be read or is empty.`);
}
