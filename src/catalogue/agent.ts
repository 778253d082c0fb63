import { z } from 'zod';
import { Line, Name, Names } from './wording.ts';

/** Bounds of the caps: above them a typing error is likelier than a need. */
const OPEN_LEASES_MAX = 10_000;
const LEASES_PER_MINUTE_MAX = 100_000;

/** Claims that one mapping rule may ask for, or show to policies. */
const CLAIMS_MAX = 16;

const ClaimName = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 visible ASCII characters');

const AgentLimits = z.strictObject({
  open_leases: z
    .int()
    .min(1)
    .max(OPEN_LEASES_MAX)
    .describe('Leases that may be open at a time: minting, active or revoking.'),
  leases_per_minute: z
    .int()
    .min(1)
    .max(LEASES_PER_MINUTE_MAX)
    .describe('Leases that may be opened within any 60 seconds.'),
});

const Identity = z.strictObject({
  issuer: Name.describe('The name of an issuer of use workload.'),
  subject: z
    .string()
    .regex(/^[\x21-\x7e]{1,2048}$/, 'must be 1 to 2048 visible ASCII characters')
    .describe(
      'The exact sub of the token; a SPIFFE id may end in /* and then matches one or more further segments.',
    ),
  claims: z
    .record(ClaimName, z.string().max(512))
    .refine((claims) => Object.keys(claims).length <= CLAIMS_MAX, `at most ${CLAIMS_MAX} claims`)
    .describe('Claims that must be present with exactly this text.')
    .optional(),
  instance_claim: ClaimName.describe(
    'The claim that names the running copy; absent: sub.',
  ).optional(),
  policy_claims: z
    .array(ClaimName)
    .max(CLAIMS_MAX)
    .describe('Claims (strings) that policies may see, as tags of context.claims.')
    .optional(),
});

/** A registered non-human identity, with an accountable owner and an end date. */
export const Agent = z
  .strictObject({
    id: Name.describe('The name of the agent in policies, lists and records.'),
    display_name: Line.describe('A name for people.').optional(),
    description: Line.describe('What the agent is for, in one line.').optional(),
    owner: Line.describe('The accountable person or team.'),
    ends: z.iso.date().describe('The last day (UTC, YYYY-MM-DD) on which the agent may exchange.'),
    environment: Name.describe('Where it runs, for example production.'),
    exposure: z
      .enum(['internal', 'external'])
      .describe('external: what the agent reads may be written by strangers.'),
    tier: Name.describe('How much it is trusted, in the words of the installation.'),
    groups: Names.describe('Groups for policies: principal in AgentGroup::"name".').optional(),
    task_types: Names.describe('Names of the task types that the agent may declare.'),
    scopes: Names.describe('Names of the scopes that the agent may ask for.'),
    limits: AgentLimits.describe('Caps, held exactly, over all replicas.'),
    identity: Identity.describe('The one rule that maps workload tokens to this agent.'),
  })
  .describe('A registered agent: a non-human identity with an accountable owner and an end date.');
export type Agent = z.infer<typeof Agent>;
