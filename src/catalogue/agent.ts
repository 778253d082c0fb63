import { z } from 'zod';
import { Line, Name } from './wording.ts';

/** A registered non-human identity, with an accountable owner and an end date. */
export const Agent = z.strictObject({
  id: Name,
  display_name: Line.optional(),
  description: Line.optional(),
  /** The accountable person or team. */
  owner: Line,
  /** The last day (UTC) on which the agent may exchange. */
  ends: z.iso.date(),
  environment: Name,
  exposure: z.enum(['internal', 'external']),
  tier: Name,
  task_types: z.array(Name).min(1),
  scopes: z.array(Name).min(1),
  limits: z.strictObject({
    /** Leases in `minting`, `active` or `revoking`. */
    open_leases: z.int().min(1).max(10_000),
    /** Leases opened within the last 60 seconds. */
    leases_per_minute: z.int().min(1).max(100_000),
  }),
  /** The one rule that maps workload tokens to this agent. */
  identity: z.strictObject({
    issuer: Name,
    /** Exact `sub`; a SPIFFE id may end in `/*` and then matches one or more further segments. */
    subject: z.string().min(1).max(2048),
    /** Claims that must be present with exactly this text. */
    claims: z.record(z.string(), z.string()).optional(),
    /** The claim that names the running copy; absent: `sub`. */
    instance_claim: z.string().optional(),
    /** Claims (strings) that policies may see. */
    policy_claims: z.array(z.string()).max(16).optional(),
  }),
});
export type Agent = z.infer<typeof Agent>;
