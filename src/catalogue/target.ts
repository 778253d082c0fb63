import { z } from 'zod';
import { PlainRole } from './scope.ts';
import { distinct, Line, Name } from './wording.ts';

/**
 * A port as a number. In the file it may also be `${setting:NAME}`, which the loader replaces before
 * this definition sees it.
 */
const Port = z
  .union([z.int().min(1).max(65_535), z.string().regex(/^\$\{setting:[A-Z][A-Z0-9_]*\}$/)])
  .transform((port, context) => {
    if (typeof port === 'number') return port;
    context.addIssue({ code: 'custom', message: 'must be a number once settings are filled in' });
    return z.NEVER;
  })
  .describe('A port from 1 to 65535, or ${setting:NAME}.');

const Host = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'must be a host name or IP address')
  .describe('A host name or IP address; may hold ${setting:NAME}.');

const Address = z.strictObject({ host: Host, port: Port });

const SecretName = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{0,62}$/, 'must be the NAME of a secret: the setting MAYFLY_SECRET_<NAME>')
  .describe('The NAME of the secret with its password: the setting MAYFLY_SECRET_<NAME>.');

const Username = z
  .string()
  .regex(/^[\x21-\x7e]{1,63}$/, 'must be 1 to 63 visible ASCII characters')
  .describe('The login name at the target.');

const Login = z.strictObject({ username: Username, secret: SecretName });

/** Scopes of one target rarely share more groups than this. */
const GROUPS_MAX = 256;
const ENDPOINTS_MAX = 64;

/** The system that a credential opens. */
export const Target = z
  .strictObject({
    name: Name.describe('The name of the target in this catalogue.'),
    description: Line.describe('What it is, in one line.').optional(),
    owner: Line.describe('The accountable person or team.'),
    kind: z.literal('postgres').describe('The kind of system.'),
    database: z.string().min(1).max(63).describe('The name of the database.'),
    client: z
      .strictObject({
        ...Address.shape,
        sslmode: z
          .enum(['disable', 'require', 'verify-ca', 'verify-full'])
          .describe('What clients must check; disable only on loopback.'),
      })
      .describe('The address as agents see it, and what they must check.'),
    server: Address.describe(
      "The address as Mayfly and OpenBao see it; absent: the client's.",
    ).optional(),
    tls: z
      .enum(['disable', 'verify-full'])
      .default('verify-full')
      .describe('What Mayfly and OpenBao check; disable only on loopback.'),
    ca_file: z
      .string()
      .min(1)
      .max(4096)
      .describe('Certificates (PEM) that are trusted; a relative path begins at this catalogue.')
      .optional(),
    backend: z
      .strictObject({
        mount: Name.describe('A database mount that belongs to Mayfly alone.'),
        config: Name.describe('The name of the connection below that mount.'),
      })
      .describe('Where OpenBao keeps it.'),
    admin: z.strictObject({ username: Username }).describe("OpenBao's own login at the target."),
    groups: distinct(PlainRole, GROUPS_MAX).describe('Group roles that scopes may hand out.'),
    narrow_public: z
      .enum(['none', 'database', 'cluster'])
      .default('none')
      .describe(
        'Whether `backend apply` takes from PUBLIC what it must not have for a proof: CONNECT, TEMPORARY and CREATE on this database, or CONNECT on all of the cluster. It can lock out other users of the cluster, so it is none unless you say so; then doctor says what an administrator has to do.',
      ),
    routines_owner: z
      .enum(['superuser', 'admin'])
      .default('superuser')
      .describe(
        "Whose rights the routines that make and end credentials have: those of a superuser role without login, so that OpenBao's login can do nothing but call them; or, where no superuser is to be had, those of OpenBao's login, which then needs CREATEROLE and becomes slower with every live credential.",
      ),
    guard: Login.describe(
      "Ends credentials that Mayfly made. Needed by `backend apply`, as the prover is: without them, at a target that was set up by hand, OpenBao's word is all there is.",
    ).optional(),
    prover: Login.describe('Looks whether they are dead. Needed by `backend apply`.').optional(),
    endpoints: z
      .array(
        z.strictObject({
          ...Address.shape,
          kind: z.enum(['replica', 'pooler']).describe('What stands there.'),
        }),
      )
      .max(ENDPOINTS_MAX)
      .default([])
      .describe('Every further place where sessions of these credentials can live.'),
  })
  .describe('The system that a credential opens.');
export type Target = z.infer<typeof Target>;
