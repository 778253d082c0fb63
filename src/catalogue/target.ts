import { z } from 'zod';
import { Line, Name } from './wording.ts';

/** May hold `${setting:NAME}`; nothing else in a catalogue may. */
const Address = z.strictObject({
  host: z.string().min(1).max(255),
  port: z.union([z.int().min(1).max(65_535), z.string().regex(/^\$\{setting:[A-Z][A-Z0-9_]*\}$/)]),
});

const SecretName = z
  .string()
  .regex(
    /^[A-Z][A-Z0-9_]{0,62}$/,
    'must be the NAME of a secret: the settings MAYFLY_SECRET_<NAME>',
  );

const Login = z.strictObject({ username: z.string().min(1).max(63), secret: SecretName });

/** The system that a credential opens. */
export const Target = z.strictObject({
  name: Name,
  description: Line.optional(),
  owner: Line,
  kind: z.literal('postgres'),
  database: z.string().min(1).max(63),
  /** The address as agents see it, and what they must check. */
  client: z.strictObject({
    ...Address.shape,
    sslmode: z.enum(['disable', 'require', 'verify-ca', 'verify-full']),
  }),
  /** The address as Mayfly and OpenBao see it; absent: the client's. */
  server: Address.optional(),
  /** `disable` only on loopback. */
  tls: z.enum(['disable', 'verify-full']).default('verify-full'),
  ca_file: z.string().optional(),
  /** Where OpenBao keeps it. Mounts belong to Mayfly alone. */
  backend: z.strictObject({ mount: Name, config: Name }),
  /** OpenBao's own login at the target: creates and drops roles. */
  admin: z.strictObject({ username: z.string().min(1).max(63) }),
  /** Group roles that scopes may hand out. */
  groups: z.array(z.string().regex(/^[a-z][a-z0-9_]{0,62}$/)).min(1),
  /** Ends credentials that Mayfly made; absent: OpenBao's word is all there is. */
  guard: Login.optional(),
  /** Looks whether they are dead. */
  prover: Login.optional(),
  /** Every further place where sessions of these credentials can live (replicas, poolers). */
  endpoints: z
    .array(z.strictObject({ ...Address.shape, kind: z.enum(['replica', 'pooler']) }))
    .default([]),
});
export type Target = z.infer<typeof Target>;
