import { z } from 'zod';

/**
 * What we need of OpenBao's answers, and no more: HashiCorp Vault and later versions add members
 * (`mount_type`) and leave others out (`path`).
 */
export const CredentialReply = z.object({
  lease_id: z.string().min(1),
  lease_duration: z.number().nonnegative(),
  data: z.object({ username: z.string().min(1), password: z.string().min(1) }),
});

export const TokenReply = z.object({
  auth: z.object({
    client_token: z.string().min(1),
    lease_duration: z.number().nonnegative(),
    renewable: z.boolean(),
  }),
});

/** A token that never ends has a `ttl` of 0 and no `expire_time`. */
export const LookupSelfReply = z.object({
  data: z.object({
    ttl: z.number().nonnegative(),
    expire_time: z.string().nullish(),
    renewable: z.boolean().default(false),
  }),
});

export const ListReply = z.object({ data: z.object({ keys: z.array(z.string()) }) });

/** Instants and seconds are OpenBao's own clock; `ttl` is what is left, 0 for one past its end. */
export const LeaseLookupReply = z.object({
  data: z.object({
    issue_time: z.iso.datetime({ offset: true }),
    expire_time: z.iso.datetime({ offset: true }),
    ttl: z.number(),
  }),
});

export type LeaseLookupReply = z.infer<typeof LeaseLookupReply>;

export const HealthReply = z.object({
  initialized: z.boolean(),
  sealed: z.boolean(),
  standby: z.boolean(),
  version: z.string(),
  /** Unix seconds. */
  server_time_utc: z.number(),
  /** Only HashiCorp Vault says it. */
  enterprise: z.boolean().optional(),
});
export type HealthReply = z.infer<typeof HealthReply>;
