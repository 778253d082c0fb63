import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Clock } from '../../foundation/clock.ts';
import type { SecretText } from '../../foundation/secret-text.ts';
import { LONGEST_REQUEST_SECONDS } from '../call-bounds.ts';
import { HEALTH_PATH } from '../probe.ts';
import { HealthReply } from '../replies.ts';
import { openVaultPort } from '../vault-port.ts';
import { isRecord, recordIn } from './administrator.ts';
import type { Administrator, BackendAddress } from './administrator.ts';
import { doubtful, fine, wrong } from './finding.ts';
import type { Finding } from './finding.ts';

/** Before it workflows and inline logins could get more rights than they should. */
const OLDEST_OPENBAO = [2, 6, 2] as const;

/** Seconds that the clocks of broker and OpenBao may differ. */
const SKEW_MAX_SECONDS = 2;

/** OpenBao's own value where a listener declares none, in seconds. */
const DEFAULT_REQUEST_SECONDS = 90;

/** Storages that lose everything, or are about to be removed. */
const UNFIT_STORAGES = new Set(['inmem', 'file']);

/** Is the server itself fit: reachable, unsealed, recent, audited, on time. */
export async function examineServer(
  admin: Administrator,
  at: BackendAddress,
  clock: Clock,
): Promise<readonly Finding[]> {
  const result = await admin.read(HEALTH_PATH);
  const unreachable = (seen: string) => [
    wrong('backend_reachable', seen, 'check the address, its CA file, and that the server runs'),
  ];
  if (!result.ok) return unreachable(result.failure.message);
  const health = HealthReply.safeParse(result.value);
  if (!health.success) return unreachable('what answers is not OpenBao');
  if (!health.data.initialized || health.data.sealed) {
    const seen = health.data.initialized ? 'it is sealed' : 'it is not initialised';
    return [wrong('backend_reachable', seen, 'unseal it, or initialise it first')];
  }
  return [
    fine('backend_reachable', at.address),
    transportFinding(at.address),
    versionFinding(health.data),
    skewFinding(health.data.server_time_utc, clock),
    await auditFinding(admin),
    ...(await configurationFindings(admin)),
    await irrevocableFinding(admin),
  ];
}

function transportFinding(address: string): Finding {
  const { protocol, hostname } = new URL(address);
  const host = hostname.replace(/^\[|\]$/g, '');
  const loopback = host === 'localhost' || (isIP(host) > 0 && /^(127\.|::1$)/.test(host));
  if (protocol === 'https:') return fine('backend_tls', 'https');
  if (loopback) return fine('backend_tls', 'plain http, on loopback only');
  return wrong('backend_tls', 'plain http over a network', 'give the listener a certificate');
}

function versionFinding({ version, enterprise }: HealthReply): Finding {
  if (enterprise !== undefined) return fine('backend_version', `HashiCorp Vault ${version}`);
  const parts = version.split(/[.+-]/).slice(0, 3).map(Number);
  const difference = OLDEST_OPENBAO.map((oldest, index) => (parts[index] ?? 0) - oldest);
  const recent = (difference.find((part) => part !== 0) ?? 0) >= 0;
  if (recent) return fine('backend_version', `OpenBao ${version}`);
  const remedy = `upgrade OpenBao to ${OLDEST_OPENBAO.join('.')} or later`;
  return wrong('backend_version', `OpenBao ${version}`, remedy);
}

function skewFinding(serverSeconds: number, clock: Clock): Finding {
  // The server tells whole seconds, rounded down.
  const now = clock.now().getTime() / 1000;
  const skew = Math.max(0, serverSeconds - now, now - (serverSeconds + 1));
  const seen = `${skew.toFixed(1)} s apart`;
  if (skew <= SKEW_MAX_SECONDS) return fine('backend_clock', seen);
  return wrong('backend_clock', seen, 'let both machines follow the same time servers');
}

async function auditFinding(admin: Administrator): Promise<Finding> {
  const devices = recordIn('sys/audit', await admin.read('sys/audit'));
  if (!devices.ok) return unread('backend_audit', devices.failure.message);
  const names = Object.keys(devices.value ?? {});
  if (names.length > 0) return fine('backend_audit', names.join(', '));
  const remedy = 'declare an audit device in the server configuration';
  return wrong('backend_audit', 'no audit device is on', remedy);
}

/** What the server's configuration file says; only an administrator may read it. */
async function configurationFindings(admin: Administrator): Promise<readonly Finding[]> {
  const path = 'sys/config/state/sanitized';
  const read = recordIn(path, await admin.read(path));
  if (!read.ok || read.value === null) {
    return [unread('backend_configuration', read.ok ? 'not offered' : read.failure.message)];
  }
  const { storage, listeners } = read.value;
  return [storageFinding(storage), requestFinding(listeners, read.value)];
}

function storageFinding(storage: unknown): Finding {
  const type = isRecord(storage) ? String(storage['type']) : 'unknown';
  if (!UNFIT_STORAGES.has(type)) return fine('backend_storage', type);
  return doubtful('backend_storage', type, 'use raft storage: leases must outlive a restart');
}

function requestFinding(listeners: unknown, all: Readonly<Record<string, unknown>>): Finding {
  const check = 'backend_request_duration';
  const declared = secondsIn(all['default_max_request_duration']);
  const fallback = declared === 0 ? DEFAULT_REQUEST_SECONDS : declared;
  const durations = (Array.isArray(listeners) ? (listeners as unknown[]) : []).map((listener) => {
    const config = isRecord(listener) ? listener['config'] : undefined;
    return isRecord(config) && config['max_request_duration'] !== undefined
      ? secondsIn(config['max_request_duration'])
      : fallback;
  });
  const longest = Math.max(fallback, ...durations);
  if (longest <= LONGEST_REQUEST_SECONDS) return fine(check, `at most ${longest} s`);
  const remedy = `set max_request_duration to ${LONGEST_REQUEST_SECONDS} s or less`;
  return wrong(check, `up to ${longest} s: a mint could outlast the broker's patience`, remedy);
}

/** OpenBao writes durations as seconds, nanoseconds or text like `1m30s`. */
function secondsIn(value: unknown): number {
  if (typeof value === 'number') return value >= 1e9 ? value / 1e9 : value;
  if (typeof value !== 'string') return 0;
  if (/^\d+$/.test(value)) return Number(value);
  const units = { h: 3600, m: 60, s: 1 } as const;
  return [...value.matchAll(/(\d+)([hms])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * units[unit as keyof typeof units],
    0,
  );
}

async function irrevocableFinding(admin: Administrator): Promise<Finding> {
  const check = 'backend_irrevocable_leases';
  const path = 'sys/leases/count?type=irrevocable&include_child_namespaces=true';
  const read = recordIn(path, await admin.read(path));
  if (!read.ok || read.value === null) {
    return unread(check, read.ok ? 'not offered' : read.failure.message);
  }
  const count = Number(read.value['lease_count'] ?? 0);
  if (count === 0) return fine(check, 'none');
  const remedy =
    'read their errors at sys/leases?type=irrevocable; Mayfly keeps trying those that are its own';
  return doubtful(check, `${count}: OpenBao gave up ending them`, remedy);
}

/**
 * HashiCorp Vault's community edition ignores the namespace header, so that everything would
 * happen in the root namespace; OpenBao answers 404 for one that it does not have.
 */
export async function namespaceFinding(at: BackendAddress, token: SecretText): Promise<Finding> {
  const check = 'backend_namespace';
  if (at.namespace === undefined || at.namespace === '') return fine(check, 'none is set');
  const ca = at.caFile === undefined ? undefined : await readFile(at.caFile, 'utf8');
  const namespace = 'mayfly-doctor/no-such-namespace';
  const port = openVaultPort({ address: at.address, ca, namespace, maxSockets: 1 });
  const answer = await port.read('sys/mounts', { token });
  port.close();
  if (!answer.ok && answer.failure.status === 404) return fine(check, at.namespace);
  const remedy = 'remove the namespace setting, or use an OpenBao that has namespaces';
  return wrong(check, `this server does not heed the namespace ${at.namespace}`, remedy);
}

function unread(check: string, why: string): Finding {
  return doubtful(check, `cannot be read: ${why}`, "use an administrator's token");
}
