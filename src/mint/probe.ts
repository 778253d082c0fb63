import type { BackendHealth, BackendProbe } from './backend.ts';
import { HEALTH } from './call-bounds.ts';
import { HealthReply } from './replies.ts';
import type { Session } from './session.ts';
import type { VaultPort, VaultResult } from './vault-port.ts';

/**
 * Asks for 200 whatever the node's state is (429 standby, 472 and 473 of Vault Enterprise, 501 not
 * initialised, 503 sealed), so that the body tells it and a proxy's 503 is not taken for a seal.
 */
export const HEALTH_PATH =
  'sys/health?standbycode=200&drsecondarycode=200&performancestandbycode=200&uninitcode=200&sealedcode=200';

export function openProbe(parts: {
  readonly port: VaultPort;
  readonly sessions: readonly Session[];
}): BackendProbe {
  const ask = () => parts.port.read(HEALTH_PATH, { token: null, bounds: HEALTH });
  return {
    health: async () =>
      healthOf(
        await ask(),
        parts.sessions.every((session) => session.isLoggedIn()),
      ),
    isActive: async () => {
      const result = await ask();
      const reply = result.ok ? HealthReply.safeParse(result.value) : undefined;
      return reply?.success === true && reply.data.initialized && isServing(reply.data);
    },
  };
}

function isServing({ sealed, standby }: HealthReply): boolean {
  return !sealed && !standby;
}

/** Reads the answer to `HEALTH_PATH`. */
export function healthOf(result: VaultResult, loggedIn: boolean): BackendHealth {
  if (!result.ok) return { state: 'unreachable', detail: result.failure.message };
  const reply = HealthReply.safeParse(result.value);
  if (!reply.success) return { state: 'unreachable', detail: 'the answer is not OpenBao health' };
  return { ...stateOf(reply.data, loggedIn), clock: new Date(reply.data.server_time_utc * 1000) };
}

function stateOf(
  { initialized, sealed, standby, version }: HealthReply,
  loggedIn: boolean,
): BackendHealth {
  if (!initialized) return { state: 'sealed', detail: `version ${version}, not initialised` };
  if (sealed) return { state: 'sealed', detail: `version ${version}, sealed` };
  if (!loggedIn) return { state: 'not_logged_in', detail: 'minter or reaper has no valid token' };
  // A standby hands requests on to the active node.
  return { state: 'ready', detail: `version ${version}, ${standby ? 'standby' : 'active'} node` };
}
