import { z } from 'zod';
import { Seconds } from './wording.ts';

/** Limits of one installation. Each has a default that is safe for a small one. */
export const Limits = z.strictObject({
  /** Requests a minute and client address on the OAuth endpoints, per replica. */
  requests_per_minute: z.int().min(1).default(6000),
  /** Due leases that one pass of the sweep claims at most. */
  sweep_batch: z.int().min(1).max(5000).default(200),
  /** Endings under way at one target at a time, per replica. */
  endings_per_target: z.int().min(1).max(64).default(4),
  /** A lease that is not dead so long after its deadline raises the alarm. */
  not_dead_alarm_seconds: Seconds.default(10),
  /** A lease that is dead but not settled for so long raises the other alarm. */
  not_settled_alarm_seconds: Seconds.default(300),
});
export type Limits = z.infer<typeof Limits>;
