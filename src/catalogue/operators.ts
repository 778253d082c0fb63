import { z } from 'zod';
import { Line, Name } from './wording.ts';

export const PERMISSIONS = [
  'leases.read',
  'leases.revoke',
  'tasks.read',
  'tasks.revoke',
  'agents.read',
  'agents.quarantine',
  'admin',
] as const;
export const Permission = z.enum(PERMISSIONS);
export type Permission = z.infer<typeof Permission>;

const Binding = z.strictObject({
  issuer: Name.describe('The name of an issuer of use operator.'),
  claim: z
    .string()
    .min(1)
    .max(128)
    .describe('The claim that is looked at: a string or a list of strings.'),
  value: Line.describe('The text that the claim must be or contain.'),
  role: Name.describe('The role that the bearer then has.'),
});

/** Bindings of one installation: a group each, not a person each. */
const BINDINGS_MAX = 1000;

/** Who may operate: roles are sets of permissions, not a ladder. */
export const Operators = z
  .strictObject({
    roles: z
      .record(Name, z.array(Permission).min(1))
      .describe('Roles: sets of permissions, not a ladder.'),
    bindings: z
      .array(Binding)
      .min(1)
      .max(BINDINGS_MAX)
      .describe('Who has which role, by a claim of the token.'),
  })
  .describe('Who may operate this installation.');
export type Operators = z.infer<typeof Operators>;
