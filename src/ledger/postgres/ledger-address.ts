import { readFileSync } from 'node:fs';
import type { ClientConfig } from 'pg';
import type { SecretText } from '../../foundation/secret-text.ts';

/** Where a ledger is and how to log in there. */
export type LedgerAddress = {
  /**
   * `postgresql://user:password@host:port/database`. Several hosts, `a:5432,b:5432`, are the nodes of
   * one cluster, of which the primary is found. Options: `sslmode`, `host`, and
   * `target_session_attrs`, which may only say what is demanded anyway.
   */
  readonly url: SecretText;
  /** PEM file of the authority that signs the server's certificate; switches TLS on. */
  readonly caFile?: string;
};

/** Milliseconds for a connection to open, the wait for a free one included. */
const CONNECT_TIMEOUT_MS = 3_000;
/** Milliseconds that one statement may run; the longest of ours takes some ten. */
const STATEMENT_TIMEOUT_MS = 5_000;
/** Milliseconds to wait for a row: an exchange holds its agent's row for one commit. */
const LOCK_TIMEOUT_MS = 3_000;
/** Milliseconds after which a transaction of a stopped process gives its locks up. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000;
/** Milliseconds until a server that does not answer at all is given up; above the server's own. */
const ANSWER_TIMEOUT_MS = 7_000;
const DEFAULT_PORT = 5432;

const OPTIONS = ['sslmode', 'host', 'target_session_attrs'];

/** libpq's words for what we demand of every connection. */
const DEMANDED = ['read-write', 'primary'];

const VERIFYING_MODES = ['require', 'verify-ca', 'verify-full'];

/**
 * Settings of each session. The first two: database-wide defaults may not change what our statements
 * mean (the format of instants, and that each statement sees the newest commits). The others: every
 * statement finds its rows through an index, and its plan is made once. Left to itself, Postgres
 * keeps plans that it made while the tables were empty, which read them whole.
 */
const SESSION_SETTINGS = {
  datestyle: 'ISO',
  default_transaction_isolation: String.raw`read\ committed`,
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
};
const SESSION_OPTIONS = Object.entries(SESSION_SETTINGS)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(' ');

/**
 * What pg needs to connect to the one server that the address names. TLS always verifies certificate
 * and host name: with the given authority, or with the system's where the address says
 * `sslmode=verify-full` (or `require`). Throws an error that names the remedy and repeats nothing of
 * the address.
 */
export function connectionConfig(address: LedgerAddress): ClientConfig {
  const [config, ...others] = connectionConfigs(address);
  if (config !== undefined && others.length === 0) return config;
  throw new Error('An address for administration names one host: the primary.');
}

/** The same for each of the hosts that the address names, in their order. */
export function connectionConfigs(address: LedgerAddress): readonly ClientConfig[] {
  return singleHosts(address.url.reveal()).map((text) => configOf(parse(text), address.caFile));
}

function configOf(url: URL, caFile: string | undefined): ClientConfig {
  const host = url.searchParams.get('host') ?? decodeURIComponent(url.hostname);
  return {
    host,
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    ssl: tls(url.searchParams.get('sslmode'), caFile),
    application_name: 'mayfly',
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    options: SESSION_OPTIONS,
  };
}

/** libpq's list of hosts, which is no URL as others define it, as one address for each host. */
function singleHosts(text: string): readonly string[] {
  const [, before, hosts, behind] = /^([^/?#]*\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/s.exec(text) ?? [];
  if (hosts === undefined) return [text];
  return hosts.split(',').map((host) => `${before ?? ''}${host}${behind ?? ''}`);
}

function parse(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error('The address of the ledger is not a URL: postgresql://user:password@host/db.');
  }
  if (url.protocol !== 'postgresql:' && url.protocol !== 'postgres:') {
    throw new Error('The address of the ledger does not begin with postgresql://.');
  }
  if (url.username === '' || url.pathname.length < 2) {
    throw new Error('The address of the ledger names no user or no database.');
  }
  for (const option of url.searchParams.keys()) {
    if (!OPTIONS.includes(option)) {
      throw new Error(
        'The address of the ledger may hold only the options sslmode, host and target_session_attrs.',
      );
    }
  }
  if (!DEMANDED.includes(url.searchParams.get('target_session_attrs') ?? 'read-write')) {
    throw new Error(
      'The ledger is always its primary: target_session_attrs may only say read-write or primary.',
    );
  }
  return url;
}

function tls(sslmode: string | null, caFile: string | undefined): ClientConfig['ssl'] {
  if (sslmode === 'disable' || (sslmode === null && caFile === undefined)) {
    if (caFile === undefined) return false;
    throw new Error(
      'The address of the ledger says sslmode=disable, but an authority file is set.',
    );
  }
  if (sslmode !== null && !VERIFYING_MODES.includes(sslmode)) {
    throw new Error('The address of the ledger may say sslmode=disable or sslmode=verify-full.');
  }
  if (caFile === undefined) return { rejectUnauthorized: true };
  return { rejectUnauthorized: true, ca: readFileSync(caFile, 'utf8') };
}
