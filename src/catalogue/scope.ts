import { z } from 'zod';
import { Line, Name, Names, Reach, Risk, Seconds } from './wording.ts';

/** A plain Postgres name that needs no quotes. */
export const PlainRole = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a plain lower-case Postgres role name');

/** A day: a task that needs longer is a service, and wants another kind of identity. Seconds. */
const LONGEST_LIFE = 86_400;
const CONNECTIONS_MAX = 1000;
const CONNECTIONS_DEFAULT = 5;

/** A named kind of credential: what it grants, where and how it is made, how its death is proven. */
export const Scope = z
  .strictObject({
    name: Name.describe('The name of the scope: the value of the OAuth parameter scope.'),
    description: Line.describe('What the credential is for, in one line.'),
    owner: Line.describe('The accountable person or team.'),
    kind: z.literal('database').describe('The kind of credential.'),
    groups: Names.describe('Groups for policies: resource in ScopeGroup::"name".').optional(),
    target: Name.describe('The name of the target that it opens.'),
    group: PlainRole.describe(
      'The group role at the target through which the credential has its rights, and nothing else.',
    ),
    backend_role: Name.describe("The role's name below the target's mount in OpenBao."),
    grants: Reach.describe('What the credential allows its holder to touch.'),
    max_ttl_seconds: Seconds.max(LONGEST_LIFE).describe('The longest life of one lease, seconds.'),
    connection_limit: z
      .int()
      .min(1)
      .max(CONNECTIONS_MAX)
      .default(CONNECTIONS_DEFAULT)
      .describe('Sessions that one credential may hold at a time.'),
    creates_in: z
      .string()
      .regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a plain lower-case Postgres schema name')
      .describe(
        'A schema in which the holder may create; absent: none. The same in all scopes of a group.',
      )
      .optional(),
    risk: Risk.describe('How bad misuse would be.'),
    sensitivity: z
      .enum(['public', 'internal', 'confidential', 'restricted'])
      .describe('How sensitive the data is.'),
    revocability: z
      .enum(['proven', 'revocable', 'expiry', 'static'])
      .describe(
        'How dead a credential of this scope can be made; the target may lower it, never raise it.',
      ),
    proof: z
      .enum(['target', 'backend'])
      .describe("target: the guard ends it and the prover looks; backend: OpenBao's word only."),
  })
  .describe('A named kind of credential.');
export type Scope = z.infer<typeof Scope>;
