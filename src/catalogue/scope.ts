import { z } from 'zod';
import { Line, Name, Reach, Risk, Seconds } from './wording.ts';

/** A named kind of credential: what it grants, where and how it is made, how its death is proven. */
export const Scope = z.strictObject({
  name: Name,
  description: Line,
  owner: Line,
  kind: z.literal('database'),
  target: Name,
  /** The group role at the target through which the credential has its rights, and nothing else. */
  group: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a plain lower-case Postgres role name'),
  /** The role's name below the target's mount in OpenBao. */
  backend_role: Name,
  grants: Reach,
  max_ttl_seconds: Seconds.max(86_400),
  /** Sessions that one credential may hold at a time. */
  connection_limit: z.int().min(1).max(1000).default(5),
  /** A schema in which the holder may create; absent: none. */
  creates_in: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,62}$/)
    .optional(),
  risk: Risk,
  sensitivity: z.enum(['public', 'internal', 'confidential', 'restricted']),
  /** How dead a credential of this scope can be made; the target may lower it, never raise it. */
  revocability: z.enum(['proven', 'revocable', 'expiry', 'static']),
  /** `target`: the guard ends it and the prover looks; `backend`: OpenBao's word only. */
  proof: z.enum(['target', 'backend']),
});
export type Scope = z.infer<typeof Scope>;
