import { z } from 'zod';
import { Seconds } from './wording.ts';

/** Limits of one installation. Each has a default that is safe for a small one. */
export const Limits = z
  .strictObject({
    requests_per_minute: z
      .int()
      .min(1)
      .default(6000)
      .describe(
        'Requests a minute and client address on `/exchange`, `/revoke` and `/v1` together, per replica.',
      ),
    sweep_batch: z
      .int()
      .min(1)
      .max(5000)
      .default(200)
      .describe('Due leases that the sweep of one replica has in hand at one target at most.'),
    revocation_backlog: z
      .int()
      .min(1)
      .max(100_000)
      .default(2000)
      .describe(
        'Leases at one target that are due and not dead; while there are more, nothing is minted there.',
      ),
    endings_per_target: z
      .int()
      .min(1)
      .max(64)
      .default(4)
      .describe('Endings under way at one target at a time, per replica.'),
    self_check_seconds: Seconds.default(600).describe(
      'One replica checks so often, with a built-in agent, that quarantine works.',
    ),
    not_dead_alarm_seconds: Seconds.default(10).describe(
      'A lease that is not dead so long after its deadline raises the alarm.',
    ),
    not_settled_alarm_seconds: Seconds.default(300).describe(
      'A lease that is dead but not settled for so long raises the other alarm.',
    ),
    reconcile_every_seconds: Seconds.default(300).describe(
      "Ledger, OpenBao's leases and the targets' users are compared so often, by one replica at a time.",
    ),
    orphan_grace_seconds: Seconds.default(150).describe(
      "What the ledger does not know is left alone for so long: more than a mint may take, OpenBao's max_request_duration included.",
    ),
  })
  .describe('Limits of one installation.');
export type Limits = z.infer<typeof Limits>;
