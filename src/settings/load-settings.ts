import type { Fault } from '../foundation/fail-point.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import type { Environment } from './environment.ts';
import { isLoopback, leavesLedgerOpen } from './forms.ts';
import type { SettingProblem } from './setting.ts';
import * as table from './settings-table.ts';
import { settingsReader } from './settings-reader.ts';
import type { SettingsReader } from './settings-reader.ts';
import { unknownSettings } from './unknown-settings.ts';

/** How one of Mayfly's two identities logs in to OpenBao. */
export type BackendLogin =
  | {
      readonly kind: 'approle';
      readonly mount?: string;
      readonly roleIdFile: string;
      readonly secretIdFile: string;
    }
  | {
      readonly kind: 'jwt';
      readonly mount?: string;
      readonly role: string;
      readonly jwtFile: string;
    }
  | { readonly kind: 'token_file'; readonly file: string };

/** Where OpenBao is. */
export type BackendPlace = {
  readonly address: string;
  readonly caFile: string | undefined;
  readonly namespace: string | undefined;
};

/** What the catalogue is read from. */
export type CatalogueSettings = {
  readonly configFolder: string;
  /** What stands for `${setting:NAME}`, by NAME. */
  readonly addresses: ReadonlyMap<string, string>;
};

/** What a broker was told. Holds no secret, so it may be logged. */
export type Settings = CatalogueSettings & {
  /** Without a slash at its end. */
  readonly publicUrl: string;
  readonly listen: {
    readonly host: string;
    readonly port: number;
    readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
    /** Proxies in front that are trusted to name the client's address. */
    readonly trustedProxies: number;
  };
  readonly ledger: {
    readonly caFile: string | undefined;
    readonly pool: number;
    readonly migrateOnStart: boolean;
  };
  readonly backend: BackendPlace & {
    readonly minter: BackendLogin;
    readonly reaper: BackendLogin;
  };
  readonly logLevel: string;
  readonly sweep: boolean;
  /** Only observe until an operator confirms the ledger. */
  readonly observe: boolean;
  /** Empty but in tests of crashes. */
  readonly faults: readonly Fault[];
};

/** Kept apart from the settings, so that no log or answer takes them along. */
export type Secrets = {
  readonly ledgerUrl: SecretText;
  readonly ledgerOwnerUrl: SecretText | undefined;
  /** `MAYFLY_SECRET_<NAME>`, by NAME. */
  readonly named: ReadonlyMap<string, SecretText>;
};

type Loaded<Value> = Result<Value, readonly SettingProblem[]>;

/** Reads all that `mayfly serve` needs; fails with every problem at once. */
export function loadSettings(
  env: Environment,
): Loaded<{ readonly settings: Settings; readonly secrets: Secrets }> {
  return load(env, (reader) => {
    const migrateOnStart = reader.required(table.MIGRATE_ON_START);
    const { url, caFile } = readLedger(reader, 'application');
    const ledgerOwnerUrl = migrateOnStart ? readLedger(reader, 'owner').url : undefined;
    const settings: Settings = {
      ...readCatalogue(reader),
      publicUrl: reader.required(table.PUBLIC_URL),
      listen: readListener(reader),
      ledger: { caFile, pool: reader.required(table.LEDGER_POOL), migrateOnStart },
      backend: {
        ...readBackend(reader),
        minter: readLogin(reader, table.MINTER),
        reaper: readLogin(reader, table.REAPER),
      },
      logLevel: reader.required(table.LOG_LEVEL),
      sweep: reader.required(table.SWEEP),
      observe: reader.required(table.OBSERVE),
      faults: reader.optional(table.TEST_FAIL_POINTS) ?? [],
    };
    refuseFaults(reader, settings);
    const named = reader.family(table.SECRET_FAMILY);
    return { settings, secrets: { ledgerUrl: url, ledgerOwnerUrl, named } };
  });
}

/**
 * Faults are for brokers that stand alone on one machine: nothing that others use may be told to
 * kill itself, whatever else is set.
 */
function refuseFaults(reader: SettingsReader, { publicUrl, listen, backend }: Settings): void {
  const asked = reader.isSet(table.TEST_FAIL_POINTS);
  if (!asked && !reader.isSet(table.ALLOW_FAULTS)) return;
  if (asked && reader.optional(table.ALLOW_FAULTS) === undefined) {
    reader.note(table.TEST_FAIL_POINTS, 'is set, but MAYFLY_ALLOW_FAULTS is not');
  }
  const apart =
    isLoopback(listen.host ?? '') &&
    listen.tls === undefined &&
    isLocal(publicUrl) &&
    isLocal(backend.address);
  if (!apart) {
    const setting = asked ? table.TEST_FAIL_POINTS : table.ALLOW_FAULTS;
    reader.note(
      setting,
      'is set, but this broker, or its OpenBao, is not on loopback by plain http',
    );
  }
}

/** Undefined where the setting itself is wrong, which is reported already. */
function isLocal(address: string | undefined): boolean {
  if (address === undefined) return false;
  const { protocol, hostname } = new URL(address);
  return protocol === 'http:' && isLoopback(hostname);
}

/** Reads what `mayfly check` needs; what a broker needs besides may be missing. */
export function loadCatalogueSettings(env: Environment): Loaded<CatalogueSettings> {
  return load(env, readCatalogue);
}

/**
 * What of a broker's settings its catalogue is read with, whatever is wrong with the others; what
 * is missing or wrong itself is undefined.
 */
export function catalogueSettingsInPart(env: Environment): Partial<CatalogueSettings> &
  Pick<CatalogueSettings, 'addresses'> & {
    readonly publicUrl: string | undefined;
    readonly named: ReadonlyMap<string, SecretText>;
  } {
  const reader = settingsReader(env, []);
  return {
    ...readCatalogue(reader),
    publicUrl: reader.optional(table.PUBLIC_URL),
    named: reader.family(table.SECRET_FAMILY),
  };
}

/** Reads what `mayfly migrate` needs: the ledger as its owner. */
export function loadMigrationSettings(
  env: Environment,
): Loaded<{ readonly url: SecretText; readonly caFile: string | undefined }> {
  return load(env, (reader) => readLedger(reader, 'owner'));
}

/** What `mayfly backend` and `mayfly doctor` read: all places, no login of a running broker. */
export type AdministrationSettings = CatalogueSettings & {
  readonly backend: BackendPlace;
  readonly ledger: { readonly url: SecretText; readonly caFile: string | undefined };
  readonly secrets: ReadonlyMap<string, SecretText>;
};

/** Reads what an administrator's commands need. */
export function loadAdministrationSettings(env: Environment): Loaded<AdministrationSettings> {
  return load(env, (reader) => ({
    ...readCatalogue(reader),
    backend: readBackend(reader),
    ledger: readLedger(reader, 'owner'),
    secrets: reader.family(table.SECRET_FAMILY),
  }));
}

function load<Value>(env: Environment, read: (reader: SettingsReader) => Value): Loaded<Value> {
  const problems: SettingProblem[] = [];
  const value = read(settingsReader(env, problems));
  problems.push(...unknownSettings(env));
  return problems.length > 0 ? fail(withoutRepeats(problems)) : succeed(value);
}

/** A setting that two parts read is reported once. */
function withoutRepeats(problems: readonly SettingProblem[]): readonly SettingProblem[] {
  return [...new Map(problems.map((one) => [JSON.stringify(one), one])).values()];
}

function readCatalogue(reader: SettingsReader): CatalogueSettings {
  return {
    configFolder: reader.required(table.CONFIG_DIR),
    addresses: reader.family(table.ADDRESS_FAMILY),
  };
}

function readListener(reader: SettingsReader): Settings['listen'] {
  const certFile = reader.optional(table.TLS_CERT_FILE);
  const keyFile = reader.optional(table.TLS_KEY_FILE);
  if (certFile !== undefined && keyFile === undefined) {
    reader.note(table.TLS_KEY_FILE, 'is not set, but MAYFLY_TLS_CERT_FILE is');
  }
  if (keyFile !== undefined && certFile === undefined) {
    reader.note(table.TLS_CERT_FILE, 'is not set, but MAYFLY_TLS_KEY_FILE is');
  }
  return {
    host: reader.required(table.LISTEN_HOST),
    port: reader.required(table.LISTEN_PORT),
    tls: certFile !== undefined && keyFile !== undefined ? { certFile, keyFile } : undefined,
    trustedProxies: reader.required(table.TRUST_PROXY),
  };
}

function readLedger(
  reader: SettingsReader,
  role: 'application' | 'owner',
): { readonly url: SecretText; readonly caFile: string | undefined } {
  const setting = role === 'owner' ? table.LEDGER_OWNER_URL : table.LEDGER_URL;
  const url = reader.required(setting);
  const caFile = reader.optional(table.LEDGER_CA_FILE);
  // What is not set or wrong is noted already, and then there is no address to judge.
  if (url instanceof SecretText && leavesLedgerOpen(url, caFile)) {
    reader.note(
      table.LEDGER_CA_FILE,
      `is not set, and ${setting.name} names another machine without sslmode=verify-full`,
    );
  }
  return { url, caFile };
}

function readBackend(reader: SettingsReader): BackendPlace {
  return {
    address: reader.required(table.BACKEND_URL),
    caFile: reader.optional(table.BACKEND_CA_FILE),
    namespace: reader.optional(table.BACKEND_NAMESPACE),
  };
}

/** Settings of the login that was not chosen are a problem: somebody believes they are in force. */
function readLogin(reader: SettingsReader, names: table.LoginTable): BackendLogin {
  const kind = reader.required(names.login);
  const idle = {
    approle: [names.role, names.jwtFile, names.tokenFile],
    jwt: [names.roleIdFile, names.secretIdFile, names.tokenFile],
    token_file: [names.mount, names.roleIdFile, names.secretIdFile, names.role, names.jwtFile],
  }[kind];
  for (const setting of idle ?? []) {
    if (reader.isSet(setting)) reader.note(setting, `is set, but ${names.login.name} is ${kind}`);
  }
  const mount = kind === 'token_file' ? undefined : reader.optional(names.mount);
  const mounted = mount === undefined ? {} : { mount };
  switch (kind) {
    case 'jwt':
      return {
        kind,
        ...mounted,
        role: reader.required(names.role),
        jwtFile: reader.required(names.jwtFile),
      };
    case 'token_file':
      return { kind, file: reader.required(names.tokenFile) };
    case 'approle':
      return {
        kind,
        ...mounted,
        roleIdFile: reader.required(names.roleIdFile),
        secretIdFile: reader.required(names.secretIdFile),
      };
  }
}
