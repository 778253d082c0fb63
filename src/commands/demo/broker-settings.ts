import { writeFile } from 'node:fs/promises';
import { BROKER_SECRETS } from '../../broker/backend-parts.ts';

export type BrokerPlaces = {
  readonly publicUrl: string;
  readonly config: string;
  readonly issuer: string;
  readonly ordersPort: number;
  readonly backendAddress: string;
  /** Gives the file of a secret that `backend apply` kept. */
  readonly secretFile: (name: string) => string;
};

/** What a broker of the demo world is told; secrets are named by file (docs/settings.md). */
export function brokerSettings(places: BrokerPlaces): Readonly<Record<string, string>> {
  const { secretFile } = places;
  return {
    MAYFLY_PUBLIC_URL: places.publicUrl,
    MAYFLY_LISTEN_HOST: '127.0.0.1',
    MAYFLY_CONFIG_DIR: places.config,
    MAYFLY_ADDRESS_DEMO_ISSUER: places.issuer,
    MAYFLY_ADDRESS_ORDERS_PORT: String(places.ordersPort),
    MAYFLY_SECRET_ORDERS_GUARD_FILE: secretFile('ORDERS_GUARD'),
    MAYFLY_SECRET_ORDERS_PROVER_FILE: secretFile('ORDERS_PROVER'),
    MAYFLY_LEDGER_URL_FILE: secretFile(BROKER_SECRETS.ledgerUrl),
    MAYFLY_BACKEND_URL: places.backendAddress,
    MAYFLY_MINTER_ROLE_ID_FILE: secretFile(BROKER_SECRETS.minterRoleId),
    MAYFLY_MINTER_SECRET_ID_FILE: secretFile(BROKER_SECRETS.minterSecretId),
    MAYFLY_REAPER_ROLE_ID_FILE: secretFile(BROKER_SECRETS.reaperRoleId),
    MAYFLY_REAPER_SECRET_ID_FILE: secretFile(BROKER_SECRETS.reaperSecretId),
  };
}

/** Writes settings as `node --env-file` reads them. */
export function writeSettings(
  file: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${quoted(value)}\n`);
  return writeFile(file, lines.join(''), { mode: 0o600 });
}

/** Node's reader knows no escapes: it takes what stands between two equal quotes. */
function quoted(value: string): string {
  const quote = ["'", '"', '`'].find((candidate) => !value.includes(candidate));
  if (quote === undefined) throw new Error('A setting holds all three kinds of quotes.');
  return `${quote}${value}${quote}`;
}
