import { readFile } from 'node:fs/promises';
import { within } from '../foundation/clock.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import type { Log } from '../foundation/log.ts';
import type { BackendProbe, Minter, Reaper } from './backend.ts';
import { openMarkStore } from './ledger-mark.ts';
import type { MarkStore } from './ledger-mark.ts';
import type { LoginMethod } from './login-method.ts';
import { openMinter } from './minter.ts';
import type { TrackedMinter } from './minter.ts';
import { openProbe } from './probe.ts';
import { openReaper } from './reaper.ts';
import { openSession } from './session.ts';
import type { Session } from './session.ts';
import { openVaultPort } from './vault-port.ts';
import type { VaultPort } from './vault-port.ts';

export type BackendConfig = {
  /** `https://host:port`; plain http is for loopback. */
  readonly address: string;
  /** PEM file with the authorities for `address`; absent: the system's. */
  readonly caFile?: string | undefined;
  readonly namespace?: string | undefined;
  readonly minter: LoginMethod;
  readonly reaper: LoginMethod;
};

export type Backend = {
  readonly minter: Minter;
  readonly reaper: Reaper;
  readonly probe: BackendProbe;
  /** Where this installation's ledger leaves its mark. */
  marks(installation: string): MarkStore;
  /** Logs both identities in; a failure is logged and tried again, not thrown. */
  start(): Promise<void>;
  /** Waits for mints under way, gives the tokens back, closes the connections. */
  stop(): Promise<void>;
};

/**
 * Connections at a time of each identity: several targets that hang, each with all the mints that
 * it may have under way, must leave some for the others.
 */
const MAX_SOCKETS = 256;

/** Logins, renewals and health keep moving when the other connections all wait. */
const CONTROL_SOCKETS = 8;

/** Milliseconds that a stop waits for mints; then the process may end and cut them. */
const STOP_WAIT_MS = 20_000;

/** @throws when `caFile` cannot be read or `address` is no http(s) address. */
export async function connectBackend(
  config: BackendConfig,
  parts: { readonly clock: Clock; readonly ids: Ids; readonly log: Log },
): Promise<Backend> {
  const { address, namespace } = config;
  const ca = config.caFile === undefined ? undefined : await readFile(config.caFile, 'utf8');
  const log = parts.log.child({ part: 'mint' });
  const open = (maxSockets: number) => openVaultPort({ address, ca, namespace, maxSockets });
  const [control, minting, reaping] = [open(CONTROL_SOCKETS), open(MAX_SOCKETS), open(MAX_SOCKETS)];
  // Health is the server's and not a namespace's: asked inside one, OpenBao answers 400.
  const health = openVaultPort({ address, ca, maxSockets: CONTROL_SOCKETS });
  const session = (identity: 'minter' | 'reaper') =>
    openSession({ ...parts, log, identity, port: control, login: config[identity] });
  const sessions = { minter: session('minter'), reaper: session('reaper') };
  const minter = openMinter({ port: minting, session: sessions.minter, clock: parts.clock, log });
  return {
    minter,
    reaper: openReaper({ port: reaping, session: sessions.reaper, log }),
    probe: openProbe({ port: health, sessions: Object.values(sessions) }),
    marks: (installation) => openMarkStore(control, sessions.reaper, installation),
    start: async () => {
      await Promise.all([sessions.minter.start(), sessions.reaper.start()]);
    },
    stop: () =>
      stopAll(parts.clock, minter, Object.values(sessions), [control, minting, reaping, health]),
  };
}

async function stopAll(
  clock: Clock,
  minter: TrackedMinter,
  sessions: readonly Session[],
  ports: readonly VaultPort[],
): Promise<void> {
  await within(clock, STOP_WAIT_MS, minter.idle());
  await Promise.all(sessions.map((session) => session.stop()));
  for (const port of ports) port.close();
}
