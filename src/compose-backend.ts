import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { BackendParts, SecretStore } from './broker/backend-parts.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import type { Target } from './catalogue/target.ts';
import { systemClock } from './foundation/clock.ts';
import { systemIds } from './foundation/ids.ts';
import type { Ids } from './foundation/ids.ts';
import type { Log } from './foundation/log.ts';
import { codeOf } from './foundation/failure.ts';
import { SecretText } from './foundation/secret-text.ts';
import { administerLedger } from './ledger/provision/administer-ledger.ts';
import type { LedgerAdministration } from './ledger/provision/administer-ledger.ts';
import { ROLE_KEYS } from './ledger/provision/ledger-roles.ts';
import type { LedgerRole } from './ledger/provision/ledger-roles.ts';
import type { LedgerAddress } from './ledger/postgres/ledger-address.ts';
import { openAdministrator } from './mint/provision/administrator.ts';
import type { BackendAddress } from './mint/provision/administrator.ts';

/** Administrators of all that a broker needs. */
export type Administrators = {
  readonly ledger: {
    readonly url: SecretText;
    readonly caFile?: string | undefined;
    /** The ledger's own database, made where it is missing. */
    readonly database: string;
  };
  /** Addresses with an administrator's login, by the target's name. */
  readonly targets: ReadonlyMap<string, SecretText>;
  readonly backend: BackendAddress & { readonly token: SecretText };
};

export type OpenBackend = { readonly parts: BackendParts; close(): Promise<void> };

/** The files in which the ledger's logins are kept, as settings of a broker name them. */
const LEDGER_URLS = {
  owner: 'LEDGER_OWNER_URL',
  app: 'LEDGER_URL',
  reader: 'LEDGER_READER_URL',
} as const satisfies Record<LedgerRole, string>;

/** Milliseconds until an administrator's connection counts as out of reach. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Opens all administrators' connections. Rejects, with everything closed, when one fails. */
export async function openBackend(
  catalogue: Catalogue,
  admins: Administrators,
  secrets: SecretStore,
  log: Log,
): Promise<OpenBackend> {
  const ids = systemIds(systemClock);
  const clients = new Map<string, pg.Client>();
  const backend = await openAdministrator(admins.backend, admins.backend.token);
  const close = async () => {
    backend.close();
    await Promise.all([...clients.values()].map((client) => client.end().catch(() => undefined)));
  };
  try {
    for (const target of catalogue.targets.values()) {
      const url = admins.targets.get(target.name);
      if (url) clients.set(target.name, await connected(target, url));
    }
    const ledger = await ledgerAdministration(admins, secrets, ids, log);
    const parts = { catalogue, ledger, targets: clients, backend, secrets, ids };
    return { parts, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function ledgerAdministration(
  admins: Administrators,
  secrets: SecretStore,
  ids: Ids,
  log: Log,
): Promise<BackendParts['ledger']> {
  const administration = await openLedgerAdministration(admins, secrets, ids, log);
  return {
    ...administration,
    async apply() {
      // Kept first: a run that breaks off leaves no login that nobody knows.
      for (const role of ROLE_KEYS) {
        await secrets.write(LEDGER_URLS[role], administration.address(role).url);
      }
      return administration.apply();
    },
  };
}

/** The ledger with an administrator's rights; passwords that are not kept yet are made. */
export async function openLedgerAdministration(
  { ledger }: Pick<Administrators, 'ledger'>,
  secrets: Pick<SecretStore, 'read'>,
  ids: Ids,
  log: Log,
): Promise<LedgerAdministration> {
  const password = async (role: LedgerRole) =>
    passwordIn(await secrets.read(LEDGER_URLS[role])) ?? new SecretText(ids.password());
  const passwords = {
    owner: await password('owner'),
    app: await password('app'),
    reader: await password('reader'),
  };
  const { database } = ledger;
  return administerLedger({ admin: ledgerAddress(ledger), database, passwords, ids, log });
}

export function ledgerAddress({ url, caFile }: Administrators['ledger']): LedgerAddress {
  return { url, ...(caFile === undefined ? {} : { caFile }) };
}

function passwordIn(url: SecretText | undefined): SecretText | undefined {
  if (!url || !URL.canParse(url.reveal())) return undefined;
  const { password } = new URL(url.reveal());
  return password === '' ? undefined : new SecretText(decodeURIComponent(password));
}

async function connected(target: Target, url: SecretText): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url.reveal(),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'mayfly backend',
    ...(target.tls === 'disable' ? {} : { ssl: { rejectUnauthorized: true, ca: caOf(target) } }),
  });
  // Without a listener a server that goes away would end our process.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (thrown) {
    throw new Error(notReached(target, client, thrown));
  }
  return client;
}

/** A sentence for the administrator; the server's own words name no password. */
function notReached({ name }: Target, { host, port }: pg.Client, thrown: unknown): string {
  const said = thrown instanceof Error && thrown.message !== '' ? thrown.message : '';
  const words = said === '' ? (codeOf(thrown) ?? 'no answer') : said;
  return (
    `target ${name}: its server at ${host}:${port} cannot be used as its administrator (${words}). ` +
    `Check the address and the login in the file of --target-admin ${name}=...`
  );
}

function caOf({ ca_file }: Target): string | undefined {
  return ca_file === undefined ? undefined : readFileSync(ca_file, 'utf8');
}
