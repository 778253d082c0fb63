import { readFileSync } from 'node:fs';
import pg from 'pg';
import { UnusableSecret } from './broker/backend-parts.ts';
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
import { connectionConfigs } from './ledger/postgres/ledger-address.ts';
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
        const name = LEDGER_URLS[role];
        const address = administration.address(role);
        if (isAmong(address, await secrets.read(name))) continue;
        await secrets.write(name, address.url);
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
  const password = async (role: LedgerRole) => {
    const kept = await secrets.read(LEDGER_URLS[role]);
    return kept === undefined
      ? new SecretText(ids.password())
      : passwordIn(LEDGER_URLS[role], kept);
  };
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

/**
 * Of a file that is there and cannot be read no password may be made up: it would be set, under
 * brokers that log in with the one in the file.
 */
function passwordIn(file: string, url: SecretText): SecretText {
  const [node] = nodesOf(url);
  if (typeof node?.password === 'string' && node.password !== '') {
    return new SecretText(node.password);
  }
  throw new UnusableSecret(
    `${file} in the secrets folder holds no address of a ledger with a password. Mend it; or remove it, and a new password is made and set.`,
  );
}

/**
 * True where what is kept names several nodes of a cluster, this one among them, and the same login:
 * somebody listed the others, which the administrator's address cannot.
 */
function isAmong(wanted: LedgerAddress, kept: SecretText | undefined): boolean {
  const nodes = kept === undefined ? [] : nodesOf(kept);
  const [own] = nodesOf(wanted.url);
  if (own === undefined || nodes.length < 2) return false;
  const { host, port, user, password, database } = own;
  return (
    nodes.some((node) => node.host === host && node.port === port) &&
    nodes.every(
      (node) => node.user === user && node.password === password && node.database === database,
    )
  );
}

/** None where it is no address of a ledger. */
function nodesOf(url: SecretText): readonly pg.ClientConfig[] {
  try {
    return connectionConfigs({ url });
  } catch {
    return [];
  }
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
