import type { Clock } from '../../foundation/clock.ts';
import type { Log } from '../../foundation/log.ts';
import type { TargetAccess } from '../target-access.ts';
import { postgresGuard } from './guard.ts';
import { postgresProver } from './prover.ts';
import { openConnections } from './warm-connections.ts';
import type { Endpoint, Login } from './warm-connections.ts';

export type TargetConfig = Endpoint & {
  readonly installation: string;
  readonly guard: Login;
  readonly prover: Login;
  /** `Look.server` of the right one; absent: guard and prover must agree, no more. */
  readonly expectedServer?: string;
  /** Connections of each of the two logins; one of each stays open. */
  readonly maxConnections: number;
};

/**
 * Mayfly's access to one target. It connects in the background and never rejects for a target that
 * is out of reach: its calls do, with `TargetUnreachable`, until the target is back.
 *
 * @throws when the CA file cannot be read
 */
export async function connectTarget(
  config: TargetConfig,
  clock: Clock,
  log?: Log,
): Promise<TargetAccess & { close(): Promise<void> }> {
  const { maxConnections, installation } = config;
  const guard = await openConnections(config, config.guard, maxConnections, clock, log);
  const prover = await openConnections(config, config.prover, maxConnections, clock, log);
  return {
    guard: postgresGuard(guard, installation, maxConnections, config.expectedServer),
    prover: postgresProver(prover, installation, maxConnections),
    async close() {
      await Promise.all([guard.close(), prover.close()]);
    },
  };
}
